"""Deep Compression (Han, Mao, Dally 2016), the baseline: prune small weights, retrain, share the rest by k-means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import InputError
from ..layers import PointLayer
from ..operation import Operation
from .base import Method


@dataclass(frozen=True)
class DeepCompression(Method):
    """Settings of the method.

    sensitivity    weights below this many standard deviations of their layer are pruned (Han et al. 2015, section 3)
    prune_at       fractions of the run at which it happens, each time by an equal part of the sensitivity more
    share_at       fraction of the run from which weights share centroids, which are then trained
    dense_bits, convolution_bits  log2 of the number of centroids of a layer
    prior_precision  of a Gaussian prior over weights, which both papers call weight decay
    """

    is_point_estimate: ClassVar[bool] = True

    sensitivity: float = 1.6
    prune_at: tuple[float, ...] = (0.25, 0.4, 0.55)
    share_at: float = 0.8
    dense_bits: int = 5
    convolution_bits: int = 8
    prior_precision: float = 10.0

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        if list(self.prune_at) != sorted(self.prune_at) or not all(0 <= at < self.share_at for at in self.prune_at):
            raise InputError(f"Pruning at {self.prune_at} and sharing at {self.share_at}: fractions have to ascend.")
        if not (1 <= self.dense_bits <= 16 and 1 <= self.convolution_bits <= 16):
            raise InputError(f"{self.dense_bits} and {self.convolution_bits} bits of codebook; give 1 to 16.")

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> DeepCompressionLayer:  # noqa: ARG002
        """The masked and shared twin of a layer; see Method.layer."""
        return DeepCompressionLayer(operation, weight, bias, self)


class DeepCompressionLayer(PointLayer):
    """A weight under a mask, later codebook[assignment].

    `mask` 0 where pruned; `codebook` sorted centroids; `assignment` the centroid of each weight, negative before
    sharing. Shared weights keep being trained through their centroid: all members get the mean of their gradients,
    which is the paper's centroid update (equation 3) at a rate that does not depend on the number of members.
    """

    mask: Tensor
    assignment: Tensor
    stage: Tensor

    def __init__(self, operation: Operation, weight: Tensor, bias: Tensor | None, settings: DeepCompression) -> None:
        super().__init__(operation, weight, bias, settings.prior_precision)
        self.settings = settings
        self.register_buffer("mask", torch.ones_like(self.weight, requires_grad=False))
        self.register_buffer("assignment", torch.full(self.weight.shape, -1))
        self.register_buffer("stage", torch.tensor(0))

    def effective_weight(self) -> Tensor:
        """The weight under its mask."""
        return self.weight * self.mask

    def after_step(self, progress: float) -> None:
        """Prune and share when their time has come; keep the members of a centroid together."""
        stage, steps = int(self.stage), len(self.settings.prune_at)
        with torch.no_grad():
            if stage < steps and progress >= self.settings.prune_at[stage]:
                threshold = self.settings.sensitivity * (stage + 1) / steps * self._deviation()
                self.mask.mul_((self.weight.abs() >= threshold).to(self.mask.dtype))
                self.stage += 1
            elif stage == steps and progress >= self.settings.share_at:
                self._share()
                self.stage += 1
            elif stage > steps:
                self._gather()

    def _deviation(self) -> Tensor:
        """Standard deviation of the whole layer, the pruned ones as the zeros that they are."""
        return (self.weight * self.mask).std() if self.weight.numel() > 1 else self.weight.new_zeros(())

    def _share(self) -> None:
        """k-means with linear initialisation over the range (section 3.2: it keeps the few large weights)."""
        alive = self.weight[self.mask > 0]
        if not alive.numel():
            return
        bits = self.settings.dense_bits if self.weight.ndim == 2 else self.settings.convolution_bits
        codebook = k_means(alive, min(1 << bits, alive.numel()))
        nearest = torch.bucketize(alive, (codebook[1:] + codebook[:-1]) / 2)
        self.assignment[self.mask > 0] = nearest
        self._gather()

    def _gather(self) -> None:
        """Move all members of a centroid to their mean: their own steps differ, the centroid takes the average."""
        member = self.assignment >= 0
        index, values = self.assignment[member], self.weight[member]
        if not values.numel():
            return
        count = torch.zeros(int(index.max()) + 1, dtype=values.dtype, device=values.device)
        total = torch.zeros_like(count)
        count.index_add_(0, index, torch.ones_like(values))
        total.index_add_(0, index, values)
        self.weight[member] = (total / count.clamp(min=1.0))[index]


def k_means(values: Tensor, clusters: int, rounds: int = 100) -> Tensor:
    """Sorted centroids of a one-dimensional k-means (Lloyd), linear initialisation; empty clusters stay put.

    values  (n,) with n >= clusters >= 1
    """
    centroids = torch.linspace(values.min().item(), values.max().item(), clusters, device=values.device)
    centroids = centroids.to(values.dtype)
    for _ in range(rounds):
        nearest = torch.bucketize(values, (centroids[1:] + centroids[:-1]) / 2)
        count = torch.bincount(nearest, minlength=clusters).to(values.dtype)
        total = torch.zeros_like(centroids).index_add_(0, nearest, values)
        moved = torch.where(count > 0, total / count.clamp(min=1.0), centroids)
        if torch.equal(moved, centroids):
            break
        centroids = moved
    return centroids
