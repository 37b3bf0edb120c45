"""Store batch norms as two numbers per channel instead of four.

At inference a batch norm is y = (x - m) / sqrt(v + eps) * g + b. With

    g' = g / sqrt(v + eps),   b' = b - m g',   m' = 0,   v' = 1 - eps

it computes the same function, and the constant running statistics take almost no bytes in the file.
"""

from __future__ import annotations

import torch
from torch import nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def normalise_statistics(network: nn.Module) -> list[str]:
    """Move the running statistics of every batch norm into its scale and shift, in place. Returns the norms' names.

    Norms without scale and shift, or without statistics, are not changed.
    """
    names: list[str] = []
    for name, norm in network.named_modules():
        if not isinstance(norm, BATCH_NORMS) or not norm.affine or norm.running_mean is None:
            continue
        mean, variance = norm.running_mean, norm.running_var
        if variance is None:
            continue
        with torch.no_grad():
            scale = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
            norm.bias.copy_(norm.bias.double() - mean.double() * scale)
            norm.weight.copy_(scale)
            mean.zero_()
            variance.fill_(1.0 - norm.eps)
        names.append(name)
    return names
