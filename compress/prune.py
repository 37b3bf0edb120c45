"""Which weights to drop."""

from __future__ import annotations

from torch import Tensor

from .posterior import Posterior


def prune_by_log_alpha(posterior: Posterior, threshold: float) -> dict[str, Tensor]:
    """Posterior means with every weight of log alpha above `threshold` set to zero, by tensor name.

    Such a weight is noise of at least exp(threshold) times its own power. Source: Molchanov et al. 2017,
    section 4.4, where the threshold is 3 (a binary dropout rate of 0.95). Shapes are unchanged.
    """
    return {
        name: posterior.values[name].masked_fill(posterior.log_alpha(name) > threshold, 0.0)
        for name in posterior.variances
    }
