"""Measuring a network on labelled data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..confusion import Confusion
from ..errors import InputError
from .bayesian import BayesianNetwork
from .guard import outputs_of
from .likelihoods import CrossEntropy, Likelihood

_BATCH = 1000


@dataclass(frozen=True)
class Evaluation:
    """What a network comes to on labelled data.

    metric     the likelihood's
    confusion  which classes are taken for which; None where there are no classes, or more than a record keeps
    """

    metric: float
    confusion: Confusion | None


def measure(network: nn.Module, inputs: Tensor, targets: Any, likelihood: Likelihood) -> float:
    """The likelihood's metric of a network; see `evaluate`.

    >>> import torch
    >>> from bayespress.train.evaluate import measure
    >>> from bayespress.train.likelihoods import Gaussian
    >>> measure(torch.nn.Identity(), torch.zeros(4, 1), torch.full((4,), 2.0), Gaussian())
    2.0
    """
    return evaluate(network, inputs, targets, likelihood).metric


def evaluate(network: nn.Module, inputs: Tensor, targets: Any, likelihood: Likelihood) -> Evaluation:
    """The metric and the confusion matrix of a network; inputs (n, ...), and targets as the likelihood takes them.

    Raises InputError for an empty set, and for targets or outputs of another kind, NaN among them.

    >>> import torch
    >>> from bayespress.train.evaluate import evaluate
    >>> from bayespress.train.likelihoods import CrossEntropy
    >>> found = evaluate(torch.nn.Identity(), torch.eye(2), [0, 0], CrossEntropy())
    >>> found.metric, found.confusion.counts
    (50.0, ((1, 1), (0, 0)))
    """
    if len(inputs) == 0:
        raise InputError("There are no examples to measure the error on; give at least one.")
    network.eval()
    total, count, known = 0.0, 0, None
    pairs: Tensor | None = None
    with torch.inference_mode():
        for number, batch in enumerate(torch.split(inputs, _BATCH)):
            first = number * _BATCH
            outputs = outputs_of(network, batch, f"Examples {first} to {first + len(batch) - 1}", likelihood)
            if bool(torch.isnan(outputs).any()):
                raise InputError(
                    f"The network's outputs are NaN for examples {first} to {first + len(batch) - 1}; train it again "
                    "at a lower learning rate, or mend the data."
                )
            if known is None:
                where = "The data to measure the error on"
                known = likelihood.targets(targets, len(inputs), tuple(outputs.shape[1:]), where)
            of_batch, seen = likelihood.tally(outputs, known[first : first + len(batch)])
            total, count = total + of_batch, count + seen
            counted = likelihood.confusion(outputs, known[first : first + len(batch)])
            pairs = counted if pairs is None or counted is None else pairs + counted
    if count == 0:
        raise InputError("The data to measure the error on has no target that counts; give one that is not ignored.")
    confusion = None if pairs is None else Confusion(counts=tuple(map(tuple, pairs.tolist())))
    return Evaluation(likelihood.figure(total, count), confusion)


def error_percent(network: nn.Module, images: Tensor, labels: Any) -> float:
    """Top-1 error in percent of a classifier with outputs (n, classes); see `measure`."""
    return measure(network, images, labels, CrossEntropy())


def nonzero_percent(net: BayesianNetwork) -> float:
    """Weights of the variational layers that the point prediction does not take for zero, in percent."""
    with torch.no_grad():
        weights = [layer.predictive_weight() for _, layer in net.variational_layers()]
    return 100.0 * sum(int(torch.count_nonzero(w)) for w in weights) / sum(w.numel() for w in weights)


def nonzero_by_layer(net: BayesianNetwork) -> dict[str, float]:
    """The same of each layer alone, by its name."""
    with torch.no_grad():
        weights = {name: layer.predictive_weight() for name, layer in net.variational_layers()}
    return {name: 100.0 * int(torch.count_nonzero(w)) / w.numel() for name, w in weights.items()}


def constant_error(targets: Any, likelihood: Likelihood) -> float | None:
    """Error in percent of always answering the most frequent class of `targets` (n,); None without classes."""
    if not isinstance(likelihood, CrossEntropy) or not isinstance(targets, Tensor) or targets.ndim != 1:
        return None
    return 100.0 * (1.0 - int(torch.bincount(targets).max()) / len(targets))
