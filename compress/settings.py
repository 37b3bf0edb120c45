"""The knobs of compression."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class CompressSettings:
    """How to compress.

    log_alpha  weights whose log alpha is above this are dropped
    budget     nats that rounding to the grid may cost a weight, see precision.py; larger is coarser and smaller
    """

    log_alpha: float = 3.0
    budget: float = 0.03

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        if self.log_alpha != self.log_alpha:
            raise InputError("The log alpha threshold is NaN; give a number, 3 is usual.")
        if not 0.0 < self.budget < float("inf"):
            raise InputError(f"The precision budget is {self.budget}; it has to be above 0 nats a weight.")
