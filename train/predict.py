"""Predicting with the whole posterior: an ensemble over sampled weights, and what it is unsure of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..html_report import html_table
from .bayesian import BayesianNetwork
from .compiled import uncompiled
from .likelihoods import CrossEntropy

_SHOWN = 10  # inputs in a notebook's table


class Prediction(NamedTuple):
    """Of each input: class probabilities (n, classes), and two entropies (n,) in nats.

    mean                the ensemble's probabilities
    predictive_entropy  entropy of that mean: all uncertainty
    mutual_information  the part of it that is about the weights: entropy of the mean less the mean entropy
    """

    mean: Tensor
    predictive_entropy: Tensor
    mutual_information: Tensor

    def __repr__(self) -> str:
        return f"Prediction({len(self.mean)} inputs, {self.mean.shape[-1]} classes)"

    def _repr_html_(self) -> str:
        """A table of the most probable class of each of the first inputs, for notebooks."""
        rows = []
        for index, (mean, *entropies) in enumerate(zip(*(each[:_SHOWN] for each in self), strict=True)):
            figures = (f"{float(value):.3f}" for value in (mean.max(), *entropies))
            rows.append((str(index), str(int(mean.argmax())), *figures))
        head = ("input", "class", "probability", "predictive entropy, nats", "mutual information, nats")
        return html_table(head, rows, repr(self))


def predict_samples(net: BayesianNetwork | Callable[..., Any], x: Tensor, n: int) -> Prediction:
    """Average the softmax outputs of `n` networks drawn from the posterior.

    net  what `bayesianize` returned, or that network compiled by torch.compile, which then runs compiled
    x    inputs (batch, ...); deterministic layers (batch norm, dropout) are in evaluation mode

    Raises InputError when fewer than one sample is asked for, and for a network that was trained by a likelihood other
    than cross-entropy, whose outputs are no logits of classes.
    Source: Gal, "Uncertainty in Deep Learning", 2016, section 3.3; Houlsby et al. 2011 for the mutual information.

    >>> import torch, bayespress
    >>> net = bayespress.bayesianize(torch.nn.Linear(4, 3))
    >>> prediction = bayespress.predict_samples(net, torch.randn(5, 4), n=10)
    >>> prediction.mean.shape, bool((prediction.mutual_information <= prediction.predictive_entropy).all())
    (torch.Size([5, 3]), True)
    """
    if n < 1:
        raise InputError(f"{n} samples were asked for; at least 1 is needed.")
    bayesian = uncompiled(net)
    if not isinstance(bayesian, BayesianNetwork):
        raise InputError(f"A {type(bayesian).__name__} was given to predict by; give what bayesianize returned.")
    if not isinstance(bayesian.likelihood, CrossEntropy | None):
        raise InputError(
            f"Prediction gives probabilities of classes, and the network was trained by the likelihood "
            f"{bayesian.likelihood.name}; average its outputs within `with net.sampling():` instead."
        )
    mean = entropy = torch.zeros(())
    with torch.no_grad(), bayesian.sampling():
        for _ in range(n):
            log_probabilities = torch.log_softmax(net(x), -1)
            mean = mean + log_probabilities.exp() / n
            entropy = entropy - (log_probabilities.exp() * log_probabilities).sum(-1) / n
    predictive = -torch.special.xlogy(mean, mean).sum(-1)
    return Prediction(mean, predictive, (predictive - entropy).clamp(min=0.0))
