"""The numbers of a training run, and what an epoch comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from ..errors import InputError, unknown_name
from ..setting_types import check_types

KL_WEIGHTINGS = ("uniform", "blundell")
AUTOCASTS = ("32-true", "bf16-mixed", "16-mixed")
_MOST_EPOCHS = 1_000_000_000


@dataclass(frozen=True)
class FitSettings:
    """How to train; the defaults suit the LeNets from scratch.

    epochs         passes over the training set
    learning_rate  Adam's at the start; it falls linearly to 0 over the run
    warmup_start, warmup_end  fractions of the run between which the KL weight rises linearly from 0 to 1
    kl_weighting   of the mini-batches of an epoch: uniform, or blundell (see elbo.blundell_weight)
    autocast       floating-point precision of matrix products: 32-true, or bf16-mixed and 16-mixed (Lightning's),
                   faster where the processor has instructions for them; parameters, KL and optimiser stay in float32
    seed           of initial noise, sampled weights and batch order
    """

    epochs: int = 60
    learning_rate: float = 1e-3
    warmup_start: float = 0.0
    warmup_end: float = 0.3
    kl_weighting: str = "uniform"
    autocast: str = "32-true"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a setting of another type or outside its range."""
        check_types(self)
        if self.epochs < 1:
            raise InputError(f"{self.epochs} epochs were asked for; at least 1 is needed.")
        if self.epochs > _MOST_EPOCHS:
            raise InputError(f"{self.epochs} epochs were asked for; at most {_MOST_EPOCHS} are possible.")
        if not 0 <= self.seed < 1 << 32:
            raise InputError(f"The seed is {self.seed}; it has to be a number from 0 to {(1 << 32) - 1}.")
        if not 0.0 < self.learning_rate < math.inf:
            raise InputError(f"The learning rate is {self.learning_rate}; it has to be above 0, and finite.")
        if not 0.0 <= self.warmup_start <= self.warmup_end <= 1.0:
            raise InputError(
                f"The KL warm-up runs from {self.warmup_start} to {self.warmup_end}; "
                "both are fractions of the run, the first not above the second."
            )
        if self.kl_weighting not in KL_WEIGHTINGS:
            raise InputError(f"The KL weighting is {self.kl_weighting!r}; it is {' or '.join(KL_WEIGHTINGS)}.")
        if self.autocast not in AUTOCASTS:
            raise InputError(f"The autocast precision is {self.autocast!r}; it is one of {', '.join(AUTOCASTS)}.")

    @classmethod
    def of(cls, **values: Any) -> FitSettings:
        """From values by name. Raises InputError for a name that is none, with a near one, and as above."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("setting of training", name, known)
        return cls(**values)


class FitOptions(TypedDict, total=False):
    """The fields of FitSettings as keyword arguments, for type checkers; a test compares the two."""

    epochs: int
    learning_rate: float
    warmup_start: float
    warmup_end: float
    kl_weighting: str
    autocast: str
    seed: int


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch came to. Losses in nats per example; the likelihood's metric on the validation batches, if any.

    nonzero_by_layer  weights that the point prediction does not take for zero, in percent of the layer's
    mixture           mean, standard deviation and share of each component of a mixture prior, the one at zero first
    """

    epoch: int
    nll: float
    kl: float
    kl_weight: float
    metric: float | None
    sparsity_percent: float
    nonzero_by_layer: dict[str, float]
    mixture: list[tuple[float, float, float]] | None
