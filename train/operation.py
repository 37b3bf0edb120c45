"""The linear operation of a layer, apart from its weights: what a variational twin applies to mean and variance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

_CONVOLUTION: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}


# Takes x (batch, in, ...), a weight (out, in / groups, ...) and a bias (out,) or None. Bilinear in x and weight, so
# that it maps means with means and, without bias, variances with squared inputs.
Operation: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def _padded_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, convolution: Operation, padding: list[int], mode: str
) -> Tensor:
    return convolution(F.pad(x, padding, mode=mode), weight, bias)


def operation_of(layer: nn.Module) -> Operation | None:
    """The operation of an nn.Linear or nn.ConvNd of any rank; None for every other kind of module.

    Subclasses are left alone (None): their forward may do more than the class they extend.
    """
    if type(layer) is nn.Linear:
        return F.linear
    convolution = _CONVOLUTION.get(type(layer))
    if convolution is None or not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return None
    settings = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    if layer.padding_mode == "zeros":
        return partial(convolution, padding=layer.padding, **settings)
    return partial(
        _padded_convolution,
        convolution=partial(convolution, **settings),
        padding=list(layer._reversed_padding_repeated_twice),
        mode=layer.padding_mode,
    )
