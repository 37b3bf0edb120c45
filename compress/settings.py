"""The knobs of compression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

from ..errors import InputError, unknown_name
from ..setting_types import check_types

# Pruning rules, each with its default threshold; None for those that need a sparsity.
RULES: dict[str, float | None] = {
    "log-alpha": 3.0,
    "signal-to-noise": math.exp(-1.5),  # the same weights as a log alpha of 3
    "group-scale": 0.0,
    "magnitude": 0.0,
    "random": None,
}
QUANTIZERS = ("posterior", "size", "round-off", "codebook")
CODEBOOK_STARTS = ("linear", "density", "random")
LARGEST_CODEBOOK = 1024  # values; beyond them a codebook costs more than it saves


@dataclass(frozen=True)
class CompressSettings:
    """How to compress.

    rule       which weights go first: log-alpha, signal-to-noise, group-scale, magnitude or random; see prune.py
    threshold  where the rule cuts, in its own units; None takes the rule's usual one
    sparsity   percent of all variational weights to drop in place of a threshold; None goes by the threshold
    quantizer  posterior: grids that follow the variance; size: grids that follow the weights' own size, for those
               without one; round-off: the small floats of Louizos et al. (all three in codec/precision.py); codebook:
               shared values, see codebook.py
    budget     nats that rounding to the grid may cost a weight, see codec/precision.py; higher values round more
               coarsely and give a smaller file
    rate_weight  nats of the posterior, or of the likelihood in retraining, that a nat of the file is worth, see
                 rate.py; 0 takes the nearest levels
    clusters   shared values of a codebook
    codebook_start  where k-means starts: linear, density or random
    shared     one codebook for the whole network in place of one for each tensor
    retrain    epochs of retraining with the structure fixed, see retrain.py; 0 for none
    learning_rate  of retraining, in grid steps (or in distances of shared values) an update
    distill    weight of the original network's outputs among the labels in retraining, from 0 to 1
    profile    small or fast, see codec.encode
    """

    rule: str = "log-alpha"
    threshold: float | None = None
    sparsity: float | None = None
    quantizer: str = "posterior"
    budget: float = 0.03
    rate_weight: float = 0.0
    clusters: int = 32
    codebook_start: str = "linear"
    shared: bool = False
    retrain: int = 0
    learning_rate: float = 0.05
    distill: float = 0.0
    profile: str = "small"

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        from ..codec import PROFILES  # here, so that `import bayespress` shows these settings without NumPy

        check_types(self)
        for what, value, allowed in (
            ("pruning rule", self.rule, RULES),
            ("quantizer", self.quantizer, QUANTIZERS),
            ("start of a codebook", self.codebook_start, CODEBOOK_STARTS),
            ("profile", self.profile, PROFILES),
        ):
            if value not in allowed:
                raise unknown_name(what, value, allowed)
        if self.threshold is not None and math.isnan(self.threshold):
            raise InputError("The threshold is NaN; give a number, for log-alpha 3 is usual.")
        if self.sparsity is not None and not 0.0 <= self.sparsity < 100.0:
            raise InputError(f"The sparsity is {self.sparsity} %; it has to be at least 0 and below 100.")
        if self.sparsity is None and RULES[self.rule] is None:
            raise InputError(f"The rule {self.rule} has no threshold; say how many weights to drop by a sparsity.")
        if self.sparsity is not None and self.threshold is not None:
            raise InputError("A sparsity and a threshold were asked for; one of them decides, so give one.")
        if not 0.0 < self.budget < float("inf"):
            raise InputError(f"The precision budget is {self.budget}; it has to be above 0 nats a weight.")
        if not 0.0 <= self.rate_weight < float("inf"):
            raise InputError(f"The rate weight is {self.rate_weight}; it has to be 0 or more, and 1 is already much.")
        if not 2 <= self.clusters <= LARGEST_CODEBOOK:
            raise InputError(f"A codebook of {self.clusters} values was asked for; it holds 2 to {LARGEST_CODEBOOK}.")
        if self.retrain < 0:
            raise InputError(f"{self.retrain} epochs of retraining were asked for; it has to be 0 or more.")
        if self.retrain and self.quantizer == "round-off":
            raise InputError("Small floats are not retrained; leave --retrain out, or take the quantizer posterior.")
        if not 0.0 < self.learning_rate < float("inf"):
            raise InputError(f"The learning rate is {self.learning_rate}; it has to be above 0 steps an update.")
        if not 0.0 <= self.distill <= 1.0:
            raise InputError(f"The weight of distillation is {self.distill}; it goes from 0 (labels) to 1 (outputs).")

    @property
    def cut(self) -> float:
        """The threshold in force, where no sparsity is asked for."""
        usual = RULES[self.rule]
        if self.threshold is not None:
            return self.threshold
        return math.nan if usual is None else usual


class CompressOptions(TypedDict, total=False):
    """The fields of CompressSettings as keyword arguments, for type checkers; a test compares the two."""

    rule: str
    threshold: float | None
    sparsity: float | None
    quantizer: str
    budget: float
    rate_weight: float
    clusters: int
    codebook_start: str
    shared: bool
    retrain: int
    learning_rate: float
    distill: float
    profile: str
