"""Networks that torch.compile wraps, and the modules that they were compiled from.

A compiled network shares its parameters with the module inside it, but names them differently (`_orig_mod.fc.weight`)
and cannot be changed layer by layer. So whatever reads or rebuilds a network takes the module inside, and only what
runs the network over and over, which is training, runs the compiled one.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

_INSIDE = "_orig_mod"


def is_compiled(network: object) -> bool:
    """Whether `network` is what torch.compile returned for a module."""
    dynamo = sys.modules.get("torch._dynamo")  # importing it takes a second, and without it nothing was compiled
    return dynamo is not None and isinstance(network, dynamo.OptimizedModule)


def uncompiled(network: Any) -> Any:
    """The module that `network` was compiled from; anything else as it is.

    >>> import torch
    >>> from bayespress.train.compiled import uncompiled
    >>> layer = torch.nn.Linear(2, 2)
    >>> uncompiled(torch.compile(layer)) is layer, uncompiled(layer) is layer
    (True, True)
    """
    while is_compiled(network):
        network = getattr(network, _INSIDE)
    return network


def uncompile_parts(network: nn.Module) -> nn.Module:
    """Put, in place, the module inside wherever a part of `network` is compiled; returns `uncompiled(network)`."""
    network = uncompiled(network)
    for module in list(network.modules()):
        for name, child in module._modules.items():
            if is_compiled(child):
                module._modules[name] = uncompiled(child)
    return network


def uncompiled_name(name: str) -> str:
    """The name that a module or parameter has once all parts are uncompiled."""
    return ".".join(part for part in name.split(".") if part != _INSIDE)
