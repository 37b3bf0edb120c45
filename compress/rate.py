"""What a level costs in the file, and levels by rate and distortion.

A level l of a weight with posterior mean w and variance V costs, on a grid of step s, by equation (1) of
codec/precision.py,

    (5)  (w - l s)^2 / (2 V)  +  rate * log 2 * bits(l)   nats,

of which the first part is what the posterior loses and the second what the file gains. The bits are those that the
codec's adaptive coder takes (codec/FORMAT.md, section 9) once it has learned a matrix: survival by the densities of row
and column, whose log odds add up, a sign, and a magnitude as often as it occurs in the tensor,

    (6)  bits(0) = -log2(1 - p_ij),   bits(l) = -log2 p_ij + 1 - log2 q(|l|),
         logit p_ij = logit p_i + logit p_j - logit p,

with p the share of weights that are not 0, p_i and p_j that in row i and column j, and q that of a magnitude among the
survivors, all as they turn out: a few rounds of choosing levels and counting again. A weight that is alone in its row
and column is dear, so that whole units empty themselves.

The posterior's weights are taken for independent, which is kinder to some networks than to others: a rate shrinks
LeNet-5-Caffe at the same error, and drops weights of LeNet-300-100 that are needed together. Retraining (retrain.py)
has the likelihood in place of the first part, and no such trouble.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

_ROUNDS = 4
_UNSEEN = 0.3  # what a magnitude that does not occur counts for: it is dear, but to be had
_PRIOR = 2.0  # weights' worth of the whole tensor's density in that of each row and column


class LevelBits:
    """Equation (6) for one tensor, as `levels` (any shape; rows are the first axis) count.

    spare  magnitudes beyond the largest one that get a price, too
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
        # Sign and survival count with the magnitude: those of level l are at magnitude[l - 1].
        self.survival = torch.nn.functional.softplus(-odds) / math.log(2.0) + 1.0
        self.magnitude = -torch.log2(counts[1:] / counts[1:].sum())

    @staticmethod
    def _odds(alive: Tensor, axis: int, whole: Tensor) -> Tensor:
        share = (alive.sum(axis, keepdim=True) + _PRIOR * whole) / (alive.shape[axis] + _PRIOR)
        return torch.logit(share)

    def at(self, index: Tensor) -> LevelBits:
        """The same for some of the tensor's elements, by flat index (n,); float32."""
        part = copy.copy(self)
        part.zero, part.survival = (each.flatten()[index].float() for each in (self.zero, self.survival))
        part.magnitude = self.magnitude.float()
        return part

    def of(self, levels: Tensor) -> Tensor:
        """Bits of each of these levels (of the tensor's shape, or with axes in front)."""
        index = (levels.abs().long() - 1).clamp(0, len(self.magnitude) - 1)
        return torch.where(levels == 0, self.zero, self.survival + self.magnitude[index])

    def slope(self, levels: Tensor) -> Tensor:
        """Gradient of the bits of real-valued levels, between whole ones on straight lines; 0 at 0."""
        below = levels.abs().floor()
        return torch.sign(levels) * (self.of(below + 1) - self.of(below))


def rate_levels(mean: Tensor, variance: Tensor, step: float, rate: float) -> Tensor:
    """Levels of least cost by equation (5); int32, of the weights' shape. Where a mean is 0 the level is.

    mean, variance  of each weight; the variances of weights that are not 0 are above 0
    rate            nats of the posterior that a nat of the file is worth; 0 gives the nearest levels

    The nearest level, its neighbour towards 0, and 0 are tried.
    """
    mean, variance = mean.double(), variance.double()
    nearest = torch.round(mean / step)
    levels = nearest
    if rate == 0.0 or not bool(levels.any()):
        return levels.to(torch.int32)
    tried = torch.stack([nearest, nearest - torch.sign(nearest), torch.zeros_like(nearest)])
    distortion = torch.where(mean == 0, 0.0, (mean - tried * step).square() / (2.0 * variance))
    for _ in range(_ROUNDS):
        cost = distortion + rate * math.log(2.0) * LevelBits(levels).of(tried)
        levels = tried.gather(0, cost.argmin(0, keepdim=True))[0]
        levels = torch.where(mean == 0, 0.0, levels)
        if not bool(levels.any()):
            break
    return levels.to(torch.int32)
