"""Dynamic Network Surgery (Guo, Yao, Chen 2016), the baseline: prune on the fly, and splice back what was missed."""

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
class DynamicNetworkSurgery(Method):
    """Settings of the method.

    threshold      c: the cut lies at the mean of |w| plus c of its standard deviations, taken when surgery begins
    margin         half of the band around the cut in which a mask stays as it is, relative to the cut
    begin, end     fractions of the run between which masks may change
    ramp           fraction of the surgery over which the cut rises to its height, ever more slowly (1 - (1 - s)^3);
                   0 for the paper's fixed cut. Under Adam a cut that falls all at once costs accuracy for good
    frequency      mask updates a step at the beginning; falls to 0 by `end`
    prior_precision  of a Gaussian prior over weights, which both papers call weight decay
    """

    is_point_estimate: ClassVar[bool] = True

    threshold: float = 2.6
    margin: float = 0.1
    begin: float = 0.2
    end: float = 0.7
    ramp: float = 0.75
    frequency: float = 0.2
    prior_precision: float = 10.0

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise InputError(f"Surgery runs from {self.begin} to {self.end}; give fractions of the run that ascend.")
        if not 0.0 <= self.ramp <= 1.0:
            raise InputError(f"The ramp is {self.ramp}; it is a fraction of the surgery, from 0 to 1.")
        if not (0.0 < self.frequency <= 1.0 and 0.0 <= self.margin < 1.0):
            raise InputError(f"Frequency {self.frequency} and margin {self.margin} have to lie between 0 and 1.")

    def layer(
        self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int  # noqa: ARG002
    ) -> NetworkSurgeryLayer:  # fmt: skip
        """The masked twin of a layer; see Method.layer."""
        return NetworkSurgeryLayer(operation, weight, bias, self)


class NetworkSurgeryLayer(PointLayer):
    """h(w) masks a weight, and every weight is updated, the masked ones too (equation 4).

    `mask` 0 where pruned; `cut` the layer's threshold, 0 before surgery; `due` what has gathered towards the next
    update. The paper draws updates at random; counting gives the same number, and the same in every process.
    """

    mask: Tensor
    cut: Tensor
    due: Tensor

    def __init__(
        self, operation: Operation, weight: Tensor, bias: Tensor | None, settings: DynamicNetworkSurgery
    ) -> None:
        super().__init__(operation, weight, bias, settings.prior_precision)
        self.settings = settings
        self.register_buffer("mask", torch.ones_like(self.weight, requires_grad=False))
        self.register_buffer("cut", torch.tensor(0.0))
        self.register_buffer("due", torch.tensor(0.0))

    def effective_weight(self) -> Tensor:
        """w under its mask, with the gradient of the whole: what is pruned can grow back."""
        return self.weight + (self.weight * (self.mask - 1.0)).detach()

    def after_step(self, progress: float) -> None:
        """Prune below the band, splice above it, leave the rest (equation 3)."""
        begin, end = self.settings.begin, self.settings.end
        if not begin <= progress < end:
            return
        with torch.no_grad():
            self.due += self.settings.frequency * (end - progress) / (end - begin)
            if self.due < 1.0:
                return
            self.due -= 1.0
            size = self.weight.abs()
            if float(self.cut) == 0.0:
                spread = size.std() if size.numel() > 1 else size.new_zeros(())
                self.cut.copy_(size.mean() + self.settings.threshold * spread)
            cut = self.cut * self._risen((progress - begin) / (end - begin))
            self.mask[size < cut * (1.0 - self.settings.margin)] = 0.0
            self.mask[size >= cut * (1.0 + self.settings.margin)] = 1.0

    def _risen(self, surgery: float) -> float:
        """Height of the cut relative to its last, at this fraction of the surgery."""
        ramp = self.settings.ramp
        return 1.0 if surgery >= ramp else 1.0 - (1.0 - surgery / ramp) ** 3
