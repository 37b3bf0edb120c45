"""Shared values by k-means, as in Deep Compression (Han, Mao and Dally 2016, section 3).

In one dimension clusters are intervals. On sorted values with cumulative sums, an iteration of Lloyd's algorithm is a
binary search for the K - 1 borders.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_ITERATIONS = 100
_SEED = 0  # of the random start, so that results are repeatable


def kmeans(values: Tensor, clusters: int, start: str) -> Tensor:
    """At most `clusters` centroids of `values` (n,), sorted, float32; centroids with no nearest value are left out.

    start  initial centroids (section 3.2): linear, evenly spaced from the smallest value to the largest, which
           represents the few large weights well; density, at evenly spaced quantiles; random, drawn from the values
    """
    ordered = np.sort(values.double().numpy())
    distinct = np.unique(ordered)
    if len(distinct) <= clusters:
        return torch.from_numpy(distinct).float()
    if start == "linear":
        centroids = np.linspace(ordered[0], ordered[-1], clusters)
    elif start == "density":
        centroids = np.quantile(ordered, (np.arange(clusters) + 0.5) / clusters)
    else:
        centroids = np.random.default_rng(_SEED).choice(distinct, clusters, replace=False)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centroids = np.unique(centroids)
    for _ in range(_ITERATIONS):
        borders = np.searchsorted(ordered, (centroids[1:] + centroids[:-1]) / 2.0)
        ends = np.concatenate([[0], borders, [len(ordered)]])
        counts = np.diff(ends)
        moved = np.where(counts > 0, np.diff(sums[ends]) / np.maximum(counts, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return torch.from_numpy(np.unique(centroids[counts > 0])).float()


def nearest_shared(values: Tensor, centroids: Tensor) -> Tensor:
    """Replace each non-zero value by its nearest centroid. Returns float32 in the shape of `values`."""
    borders = (centroids[1:] + centroids[:-1]) / 2.0
    shared = centroids[torch.searchsorted(borders, values.float().contiguous())]
    return torch.where(values == 0, torch.zeros_like(shared), shared)
