"""Shared values by k-means."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayespress.compress.codebook import kmeans, nearest_shared
from bayespress.compress.settings import CODEBOOK_STARTS


def loss(values, centroids):
    return float((values - nearest_shared(values, centroids)).double().square().sum())


@pytest.mark.parametrize("start", CODEBOOK_STARTS)
def test_clusters_are_found(start):
    """Three heaps far apart have their means for centroids, wherever the search starts."""
    generator = torch.Generator().manual_seed(0)
    heaps = [centre + 0.01 * torch.randn(50, generator=generator) for centre in (-1.0, 0.2, 3.0)]
    centroids = kmeans(torch.cat(heaps), 3, start)
    torch.testing.assert_close(centroids, torch.stack([heap.mean() for heap in heaps]))


@given(st.integers(0, 200), st.integers(2, 40), st.sampled_from(CODEBOOK_STARTS))
def test_no_centroid_can_be_moved_to_advantage(seed, clusters, start):
    """Lloyd's condition: each centroid is the mean of what is nearest to it, and none is idle."""
    values = torch.randn(300, generator=torch.Generator().manual_seed(seed)).pow(3)
    centroids = kmeans(values, clusters, start)
    assert 1 <= len(centroids) <= clusters
    shared = nearest_shared(values, centroids)
    for centroid in centroids:
        torch.testing.assert_close(values[shared == centroid].mean(), centroid, atol=1e-5, rtol=1e-4)


def test_each_start_is_what_it_says():
    """Linear keeps the few large weights, density the many small ones (Han et al. 2016, section 3.2)."""
    values = torch.cat([torch.linspace(-0.1, 0.1, 2000), torch.tensor([5.0, 6.0, 7.0, 8.0])])
    linear, density = kmeans(values, 8, "linear"), kmeans(values, 8, "density")
    assert float((values[-4:] - nearest_shared(values[-4:], linear)).abs().max()) < 0.6
    small = values[:-4]
    assert loss(small, density) < loss(small, linear)


def test_few_values_are_kept_and_zero_stays_zero():
    values = torch.tensor([[0.0, 0.5], [0.5, -2.0]])
    centroids = kmeans(values[values != 0], 4, "linear")
    assert centroids.tolist() == [-2.0, 0.5]
    assert torch.equal(nearest_shared(values, centroids), values)
