"""Estimate the bits of a level in the file, and choose levels by their rate and distortion.

By equation (1) of codec/precision.py, level l on a grid of step s costs a weight with posterior mean w and variance V

    (5)  (w - l s)^2 / (2 V)  +  rate * log 2 * bits(l)   nats.

The first term is the loss under the posterior, the second the weighted length of the level in the file. The bits are
an estimate for the codec's adaptive coder (codec/FORMAT.md, section 9) after it has learned the statistics of a matrix.
A level is coded as non-zero or not, with the log odds of its row's and column's densities added up, then as a sign and
a magnitude,

    (6)  bits(0) = -log2(1 - p_ij),   bits(l) = -log2 p_ij + 1 - log2 q(|l|),
         logit p_ij = logit p_i + logit p_j - logit p,

where p is the share of non-zero weights in the tensor, p_i and p_j the shares in row i and column j, and q the share of
a magnitude among the non-zero weights. These shares depend on the levels, so choosing levels and counting alternate for
a few rounds. A weight that is alone in its row and column costs many bits, so that whole units become empty.

Equation (5) assumes that the posterior's weights are independent, which holds better for some networks than for others:
it makes LeNet-5-Caffe smaller at the same error, but prunes weights of LeNet-300-100 that are only useful together.
Retraining (retrain.py) uses the likelihood instead of the first term and does not need this assumption.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

_ROUNDS = 4
_UNSEEN = 0.3  # added to each magnitude's count, so that a magnitude that does not occur has a finite, high cost
_PRIOR = 2.0  # number of pseudo-weights with the whole tensor's density in the density of each row and column


class LevelBits:
    """Equation (6) for one tensor, with the shares counted in `levels` (any shape; rows are the first axis).

    spare  number of magnitudes beyond the largest one that also get a cost
    """

    def __init__(self, levels: Tensor, spare: int = 1) -> None:
        matrix = levels.reshape(len(levels), -1) if levels.ndim else levels.reshape(1, 1)
        alive = (matrix != 0).double()
        whole = (alive.sum() + 0.5) / (alive.numel() + 1.0)
        odds = torch.logit(whole)
        if levels.ndim > 1:
            odds = self._odds(alive, 1, whole) + self._odds(alive, 0, whole) - odds
        odds = odds.expand(matrix.shape).reshape(levels.shape)
        self.zero = torch.nn.functional.softplus(odds) / math.log(2.0)
        magnitudes = levels[levels != 0].abs().long()
        largest = int(magnitudes.max()) if magnitudes.numel() else 1
        counts = torch.bincount(magnitudes, minlength=largest + 1 + spare).double() + _UNSEEN
        # The bits of level l != 0 are nonzero + magnitude[|l| - 1]; `nonzero` includes one bit for the sign.
        self.nonzero = torch.nn.functional.softplus(-odds) / math.log(2.0) + 1.0
        self.magnitude = -torch.log2(counts[1:] / counts[1:].sum())

    @staticmethod
    def _odds(alive: Tensor, axis: int, whole: Tensor) -> Tensor:
        share = (alive.sum(axis, keepdim=True) + _PRIOR * whole) / (alive.shape[axis] + _PRIOR)
        return torch.logit(share)

    def at(self, index: Tensor) -> LevelBits:
        """The costs for the elements at these flat indices (n,), in float32."""
        part = copy.copy(self)
        part.zero, part.nonzero = (bits.flatten()[index].float() for bits in (self.zero, self.nonzero))
        part.magnitude = self.magnitude.float()
        return part

    def of(self, levels: Tensor) -> Tensor:
        """Bits of each level; `levels` has the tensor's shape, or further axes before it."""
        index = (levels.abs().long() - 1).clamp(0, len(self.magnitude) - 1)
        return torch.where(levels == 0, self.zero, self.nonzero + self.magnitude[index])

    def slope(self, levels: Tensor) -> Tensor:
        """Gradient of the bits of real-valued levels, interpolated linearly between integers; 0 at 0."""
        below = levels.abs().floor()
        return torch.sign(levels) * (self.of(below + 1) - self.of(below))


def rate_levels(mean: Tensor, variance: Tensor, step: float, rate: float) -> Tensor:
    """The levels of least cost by equation (5); int32, in the shape of `mean`. A mean of 0 always gets level 0.

    mean, variance  of each weight; the variance of a non-zero weight must be above 0
    rate            nats of posterior loss that one nat of file length is worth; 0 gives the nearest levels

    For each weight the candidates are the nearest level, its neighbour towards 0, and 0.
    """
    mean, variance = mean.double(), variance.double()
    nearest = torch.round(mean / step)
    levels = nearest
    if rate == 0.0 or not bool(levels.any()):
        return levels.to(torch.int32)
    candidates = torch.stack([nearest, nearest - torch.sign(nearest), torch.zeros_like(nearest)])
    distortion = torch.where(mean == 0, 0.0, (mean - candidates * step).square() / (2.0 * variance))
    for _ in range(_ROUNDS):
        cost = distortion + rate * math.log(2.0) * LevelBits(levels).of(candidates)
        levels = candidates.gather(0, cost.argmin(0, keepdim=True))[0]
        levels = torch.where(mean == 0, 0.0, levels)
        if not bool(levels.any()):
            break
    return levels.to(torch.int32)
