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
def test_kmeans_finds_separate_clusters(start):
    """The centroids of three clusters far apart are their means, whatever the initial centroids."""
    generator = torch.Generator().manual_seed(0)
    clusters = [centre + 0.01 * torch.randn(50, generator=generator) for centre in (-1.0, 0.2, 3.0)]
    centroids = kmeans(torch.cat(clusters), 3, start)
    torch.testing.assert_close(centroids, torch.stack([cluster.mean() for cluster in clusters]))


@given(st.integers(0, 200), st.integers(2, 40), st.sampled_from(CODEBOOK_STARTS))
def test_centroids_satisfy_lloyds_condition(seed, clusters, start):
    """Each centroid is the mean of the values that are nearest to it, and has at least one."""
    values = torch.randn(300, generator=torch.Generator().manual_seed(seed)).pow(3)
    centroids = kmeans(values, clusters, start)
    assert 1 <= len(centroids) <= clusters
    shared = nearest_shared(values, centroids)
    for centroid in centroids:
        torch.testing.assert_close(values[shared == centroid].mean(), centroid, atol=1e-5, rtol=1e-4)


def test_linear_starts_represent_large_weights_and_density_starts_small_ones():
    """The two starts of Han et al. 2016, section 3.2: linear suits the few large weights, density the many small."""
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
