"""A user-defined training method: maximum a posteriori under a Gaussian prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bayespress.errors import InputError
from bayespress.train.layers import PointLayer
from bayespress.train.methods import Method
from bayespress.train.operation import Operation


@dataclass(frozen=True)
class Map(Method):
    """Settings of the method.

    prior_precision  of the prior N(0, 1 / prior_precision) over each weight
    """

    is_point_estimate: ClassVar[bool] = True

    prior_precision: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError for a precision that is not positive."""
        if not self.prior_precision > 0.0:
            raise InputError(f"The prior's precision is {self.prior_precision}; it must be above 0.")

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> MapLayer:
        """See Method.layer."""
        return MapLayer(operation, weight, bias, self.prior_precision)


class MapLayer(PointLayer):
    """A layer that uses its weight unchanged; PointLayer adds the prior."""

    def effective_weight(self) -> Tensor:
        """The weight."""
        return self.weight
