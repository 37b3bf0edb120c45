"""The settings of compression."""

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
    """The settings of compression.

    rule       the order in which weights are pruned: log-alpha, signal-to-noise, group-scale, magnitude or random; see
               prune.py
    threshold  the limit of the rule, in the rule's units; None takes the rule's default
    sparsity   percent of all variational weights to prune, instead of a threshold; None uses the threshold
    quantizer  posterior: grids whose step follows the posterior variance; size: grids whose step follows the size of
               the weights, for weights without a variance; round-off: the small floats of Louizos et al. (all three in
               codec/precision.py); codebook: shared values, see codebook.py
    budget     largest expected loss of rounding to the grid, in nats per weight, see codec/precision.py; higher values
               round more coarsely and give a smaller file
    rate_weight  rate-distortion weight: nats of the posterior, or of the likelihood in retraining, that one nat of file
                 length is worth, see rate.py; 0 takes the nearest levels
    clusters   number of shared values in a codebook
    codebook_start  initial centroids of k-means: linear, density or random
    shared     one codebook for the whole network instead of one for each tensor
    retrain    epochs of retraining with the structure fixed, see retrain.py; 0 for none
    learning_rate  of retraining, in grid steps (or distances between shared values) per update
    distill    weight of the original network's outputs among the targets of retraining, from 0 to 1
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
            raise InputError("The threshold is NaN; give a number, for instance 3 for log-alpha.")
        if self.sparsity is not None and not 0.0 <= self.sparsity < 100.0:
            raise InputError(f"The sparsity is {self.sparsity} %; it has to be at least 0 and below 100.")
        if self.sparsity is None and RULES[self.rule] is None:
            raise InputError(f"The rule {self.rule} has no threshold; give a sparsity instead.")
        if self.sparsity is not None and self.threshold is not None:
            raise InputError(
                f"A sparsity of {self.sparsity:g} % and a threshold of {self.threshold:g} exclude each other; give one."
            )
        if not 0.0 < self.budget < float("inf"):
            raise InputError(f"The precision budget is {self.budget}; it has to be above 0 nats per weight.")
        if not 0.0 <= self.rate_weight < float("inf"):
            raise InputError(f"The rate weight is {self.rate_weight}; it has to be 0 or more, for instance 0.1.")
        if not 2 <= self.clusters <= LARGEST_CODEBOOK:
            raise InputError(f"A codebook of {self.clusters} values was asked for; it holds 2 to {LARGEST_CODEBOOK}.")
        if self.retrain < 0:
            raise InputError(f"{self.retrain} epochs of retraining were asked for; it has to be 0 or more.")
        if self.retrain and self.quantizer == "round-off":
            raise InputError(
                "Small floats (round-off) cannot be retrained; leave --retrain out, or take the quantizer posterior."
            )
        if not 0.0 < self.learning_rate < float("inf"):
            raise InputError(f"The learning rate is {self.learning_rate}; it has to be above 0 steps per update.")
        if not 0.0 <= self.distill <= 1.0:
            raise InputError(
                f"The weight of distillation is {self.distill}; it has to be between 0 (labels only) and 1 (outputs "
                "only)."
            )

    @property
    def cut(self) -> float:
        """The threshold, or the rule's default if it is None; NaN for a rule without thresholds."""
        default = RULES[self.rule]
        if self.threshold is not None:
            return self.threshold
        return math.nan if default is None else default


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
