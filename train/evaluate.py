"""Measuring a network on labelled data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..labels import class_labels
from .bayesian import BayesianNetwork
from .guard import outputs_of

_BATCH = 1000


def error_percent(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Top-1 error in percent; images (n, ...), labels as labels.class_labels takes them, outputs (n, classes).

    Raises InputError for an empty set, and for labels or outputs of another kind, NaN among them.
    """
    if len(images) == 0:
        raise InputError("There are no examples to measure the error on; give at least one.")
    network.eval()
    wrong, known = 0, None
    with torch.inference_mode():
        for number, inputs in enumerate(torch.split(images, _BATCH)):
            first = number * _BATCH
            outputs = outputs_of(network, inputs, f"Examples {first} to {first + len(inputs) - 1}")
            if bool(torch.isnan(outputs).any()):
                raise InputError(
                    f"The network's outputs are NaN for examples {first} to {first + len(inputs) - 1}; train it again "
                    "at a lower learning rate, or mend the data."
                )
            if known is None:
                known = class_labels(labels, len(images), outputs.shape[1], "The data to measure the error on")
            wrong += int((outputs.argmax(1) != known[first : first + len(inputs)]).sum())
    return 100.0 * wrong / len(images)


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
