"""The knobs of compression."""

from __future__ import annotations

from dataclasses import dataclass

from ..codec import PROFILES
from ..errors import InputError

RULES = ("signal-to-noise", "magnitude", "random")


@dataclass(frozen=True)
class CompressSettings:
    """How to compress.

    log_alpha  weights whose log alpha is above this are dropped, unless a sparsity is asked for
    sparsity   percent of all variational weights to drop; None goes by log_alpha
    rule       which weights go first then: signal-to-noise, magnitude or random
    profile    small or fast, see codec.encode
    budget     nats that rounding to the grid may cost a weight, see precision.py; larger is coarser and smaller
    rate       nats of the posterior that a nat of the file is worth, see rate.py; 0 takes the nearest levels
    """

    log_alpha: float = 3.0
    sparsity: float | None = None
    rule: str = "signal-to-noise"
    budget: float = 0.03
    rate: float = 0.0
    profile: str = "small"

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        if self.log_alpha != self.log_alpha:
            raise InputError("The log alpha threshold is NaN; give a number, 3 is usual.")
        if self.rule not in RULES:
            raise InputError(f"There is no pruning rule {self.rule!r}; there are {', '.join(RULES)}.")
        if self.sparsity is not None and not 0.0 <= self.sparsity < 100.0:
            raise InputError(f"The sparsity is {self.sparsity} %; it has to be at least 0 and below 100.")
        if self.profile not in PROFILES:
            raise InputError(f"There is no profile {self.profile!r}; there are {' and '.join(PROFILES)}.")
        if not 0.0 < self.budget < float("inf"):
            raise InputError(f"The precision budget is {self.budget}; it has to be above 0 nats a weight.")
        if not 0.0 <= self.rate < float("inf"):
            raise InputError(f"The rate is {self.rate}; it has to be 0 or more, and 1 is already much.")
