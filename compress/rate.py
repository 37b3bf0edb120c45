"""Levels by rate and distortion: a weight may move off its nearest level where that saves more than it costs.

A level l of a weight with posterior mean w and variance V costs, on a grid of step s, by equation (1) of precision.py,

    (4)  (w - l s)^2 / (2 V)  +  rate * log 2 * bits(l)   nats,

of which the first part is what the posterior loses and the second what the file gains. The bits are those of an ideal
adaptive coder, as the codec's: the entropy of survival and sign, and of the magnitude among those of the same tensor,

    (5)  bits(0) = -log2(1 - p),   bits(l) = -log2 p + 1 - log2 q(|l|),

with p the share of weights that are not 0 and q that of a magnitude among them, both as they turn out: a few rounds of
choosing levels and counting again.

The posterior's weights are taken for independent, which is kinder to some networks than to others: on LeNet-5-Caffe a
rate of 0.3 saves a tenth of the file at the same error, on LeNet-300-100 it drops weights that are needed together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROUNDS = 4
_UNSEEN = 0.3  # what a magnitude that does not occur counts for: it is dear, but to be had


def rate_levels(mean: Tensor, variance: Tensor, step: float, rate: float) -> Tensor:
    """Levels of least cost by equation (4); int32, of the weights' shape. Where a mean is 0 the level is.

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
        cost = distortion + rate * math.log(2.0) * _bits(tried, levels)
        levels = tried.gather(0, cost.argmin(0, keepdim=True))[0]
        levels = torch.where(mean == 0, 0.0, levels)
        if not bool(levels.any()):
            break
    return levels.to(torch.int32)


def _bits(tried: Tensor, levels: Tensor) -> Tensor:
    """Equation (5) of each level tried, by what the present levels come to."""
    magnitudes = levels[levels != 0].abs().long()
    survival = (magnitudes.numel() + 0.5) / (levels.numel() + 1.0)
    counts = torch.bincount(magnitudes, minlength=int(tried.abs().max()) + 1).double() + _UNSEEN
    counts[0] = 1.0  # not looked at
    of_magnitude = 1.0 - math.log2(survival) - torch.log2(counts / counts[1:].sum())
    return torch.where(tried == 0, -math.log2(1.0 - survival), of_magnitude[tried.abs().long()])
