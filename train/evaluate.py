"""Measuring a network on labelled data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .bayesian import BayesianNetwork

_BATCH = 1000


def error_percent(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Top-1 error in percent; images (n, ...), labels int64 (n,), outputs (n, classes)."""
    network.eval()
    wrong = 0
    with torch.inference_mode():
        for inputs, targets in zip(torch.split(images, _BATCH), torch.split(labels, _BATCH), strict=True):
            wrong += int((network(inputs).argmax(1) != targets).sum())
    return 100.0 * wrong / len(labels)


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
