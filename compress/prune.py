"""Choose the weights to prune.

A rule gives each weight a score. Weights with the highest scores are pruned first:

    log-alpha        log(V / mean^2), the noise-to-signal ratio (Molchanov et al. 2017, section 4.4, cut at 3: a binary
                     dropout rate of 0.95)
    signal-to-noise  -|mean| / sqrt(V) (Blundell et al. 2015, section 5.3); its threshold is a ratio
    group-scale      the noise of the scale that the weight shares with its group, as the training method measures it
                     (Louizos et al. 2017, section 4.1: log alpha of the scale, or minus the logarithm of its mode)
    magnitude        -|mean|; its threshold is a magnitude
    random           a random number; the baseline that every other rule must exceed
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from .posterior import Posterior
from .settings import CompressSettings

_SEED = 0  # of the random rule, so that its choice is repeatable and does not depend on the weights
# Rules whose score is the negative of the quantity that the threshold limits: weights below the threshold are pruned.
_PRUNES_BELOW = ("signal-to-noise", "magnitude")


def prune(posterior: Posterior, settings: CompressSettings) -> dict[str, Tensor]:
    """The posterior means with the weights that `settings` prunes set to zero, by tensor name; shapes are unchanged.

    Raises InputError when the rule needs group scales that the posterior does not have.
    """
    scores = _scores(posterior, settings.rule)
    if settings.sparsity is not None:
        pruned = _highest(scores, settings.sparsity)
    else:
        threshold = -settings.cut if settings.rule in _PRUNES_BELOW else settings.cut
        pruned = {name: score > threshold for name, score in scores.items()}
    return {name: posterior.values[name].masked_fill(mask, 0.0) for name, mask in pruned.items()}


def _highest(scores: dict[str, Tensor], percent: float) -> dict[str, Tensor]:
    """Masks of the `percent` of all weights with the highest scores, ranked across the network."""
    order = torch.cat([score.flatten() for score in scores.values()]).argsort(descending=True, stable=True)
    pruned = torch.zeros(len(order), dtype=torch.bool)
    pruned[order[: round(len(order) * percent / 100.0)]] = True
    masks = torch.split(pruned, [score.numel() for score in scores.values()])
    return {name: mask.reshape(scores[name].shape) for name, mask in zip(scores, masks, strict=True)}


def _scores(posterior: Posterior, rule: str) -> dict[str, Tensor]:
    """Scores of all variational weights by tensor name, each tensor in the shape of its weight."""
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
                f"Tensor {name} has no group scales, so the rule group-scale cannot rank it; train with "
                "group-normal-jeffreys or group-horseshoe, or prune by another rule."
            )
        return noise.expand(mean.shape)

    return {name: score(name) for name in posterior.variances}
