"""Which weights to drop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .posterior import Posterior
from .settings import CompressSettings

_SEED = 0  # of the random rule: which weights it drops is repeatable, and tells nothing about them


def prune(posterior: Posterior, settings: CompressSettings) -> dict[str, Tensor]:
    """Posterior means with the weights that `settings` drops set to zero, by tensor name; shapes are unchanged."""
    if settings.sparsity is None:
        return prune_by_log_alpha(posterior, settings.log_alpha)
    return prune_to_sparsity(posterior, settings.rule, settings.sparsity)


def prune_by_log_alpha(posterior: Posterior, threshold: float) -> dict[str, Tensor]:
    """Posterior means with every weight of log alpha above `threshold` set to zero, by tensor name.

    Such a weight is noise of at least exp(threshold) times its own power. Source: Molchanov et al. 2017,
    section 4.4, where the threshold is 3 (a binary dropout rate of 0.95).
    """
    return {
        name: posterior.values[name].masked_fill(posterior.log_alpha(name) > threshold, 0.0)
        for name in posterior.variances
    }


def prune_to_sparsity(posterior: Posterior, rule: str, percent: float) -> dict[str, Tensor]:
    """Posterior means with the least `percent` of all variational weights set to zero, ranked across the network.

    rule  signal-to-noise: by |mean| / deviation (Blundell et al. 2015, section 5.3); magnitude: by |mean|;
          random: by nothing, the comparison that any rule has to stand
    """
    generator = torch.Generator().manual_seed(_SEED)
    rules: dict[str, Callable[[str], Tensor]] = {
        "signal-to-noise": lambda name: -posterior.log_alpha(name),
        "magnitude": lambda name: posterior.values[name].abs(),
        "random": lambda name: torch.rand(posterior.values[name].shape, generator=generator),
    }
    scores = {name: rules[rule](name) for name in posterior.variances}
    order = torch.cat([each.flatten() for each in scores.values()]).argsort()
    dropped = torch.zeros(len(order), dtype=torch.bool)
    dropped[order[: round(len(order) * percent / 100.0)]] = True
    parts = torch.split(dropped, [each.numel() for each in scores.values()])
    return {
        name: posterior.values[name].masked_fill(part.reshape(scores[name].shape), 0.0)
        for name, part in zip(scores, parts, strict=True)
    }
