"""Which weights to drop.

A rule gives each weight a score, the higher the sooner it is dropped:

    log-alpha        log(V / mean^2), the noise-to-signal ratio (Molchanov et al. 2017, section 4.4, cut at 3: a binary
                     dropout rate of 0.95)
    signal-to-noise  -|mean| / sqrt(V) (Blundell et al. 2015, section 5.3); its threshold is a ratio
    group-scale      the noise of the scale that the weight shares with its group, as the training method measures it
                     (Louizos et al. 2017, section 4.1: log alpha of the scale, or minus the logarithm of its mode)
    magnitude        -|mean|; its threshold is a magnitude
    random           nothing, the comparison that any rule has to stand
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from .posterior import Posterior
from .settings import CompressSettings

_SEED = 0  # of the random rule: which weights it drops is repeatable, and does not depend on them
# Rules whose scores are the negative of their threshold's unit: weights below the threshold are pruned.
_BELOW = ("signal-to-noise", "magnitude")


def prune(posterior: Posterior, settings: CompressSettings) -> dict[str, Tensor]:
    """Posterior means with the weights that `settings` drops set to zero, by tensor name; shapes are unchanged.

    Raises InputError when the rule asks for what the posterior does not hold.
    """
    scores = _scores(posterior, settings.rule)
    if settings.sparsity is not None:
        dropped = _most(scores, settings.sparsity)
    else:
        cut = -settings.cut if settings.rule in _BELOW else settings.cut
        dropped = {name: score > cut for name, score in scores.items()}
    return {name: posterior.values[name].masked_fill(mask, 0.0) for name, mask in dropped.items()}


def _most(scores: dict[str, Tensor], percent: float) -> dict[str, Tensor]:
    """The `percent` of all weights that score highest, ranked across the network."""
    order = torch.cat([each.flatten() for each in scores.values()]).argsort(descending=True, stable=True)
    dropped = torch.zeros(len(order), dtype=torch.bool)
    dropped[order[: round(len(order) * percent / 100.0)]] = True
    parts = torch.split(dropped, [each.numel() for each in scores.values()])
    return {name: part.reshape(scores[name].shape) for name, part in zip(scores, parts, strict=True)}


def _scores(posterior: Posterior, rule: str) -> dict[str, Tensor]:
    """Scores of all variational weights, each of the weight's shape."""
    generator = torch.Generator().manual_seed(_SEED)

    def score(name: str) -> Tensor:
        mean = posterior.values[name]
        if rule == "log-alpha":
            return posterior.log_alpha(name)
        if rule == "signal-to-noise":
            return -torch.exp(-0.5 * posterior.log_alpha(name))
        if rule == "magnitude":
            return -mean.abs()
        if rule == "random":
            return torch.rand(mean.shape, generator=generator)
        noise = posterior.group_noise.get(name)
        if noise is None:
            raise InputError(
                f"Tensor {name} has no groups with scales, so the rule group-scale cannot rank it; train with "
                "group-normal-jeffreys or group-horseshoe, or prune by another rule."
            )
        return noise.expand(mean.shape)

    return {name: score(name) for name in posterior.variances}
