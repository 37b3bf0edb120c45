"""Buffers with infinite or NaN values, such as an attention mask of -inf, which are constants rather than weights.

A packed file holds only finite numbers. Such a buffer becomes a constant of the exported network, like a buffer that
was registered with persistent=False.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..text import printable


def user_buffers(network: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """The persistent buffers that training does not compute: name in the state dict, module, name in the module.

    The statistics of batch and instance norms are left out: training computes them, and they are finite unless it
    diverged.
    """
    for prefix, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, _NormBase):
            continue
        for name, buffer in module._buffers.items():
            if isinstance(buffer, Tensor) and name not in module._non_persistent_buffers_set:
                yield f"{prefix}.{name}" if prefix else name, module, name


def keep_in_graph(network: nn.Module) -> list[str]:
    """Remove the user's buffers that are not finite from the state dict, in place. Returns their names."""
    kept = []
    for name, module, key in list(user_buffers(network)):
        buffer = module._buffers[key]
        if buffer is not None and buffer.is_floating_point() and not bool(torch.isfinite(buffer).all()):
            module._non_persistent_buffers_set.add(key)
            kept.append(name)
    return kept


def note_on(names: list[str]) -> list[str]:
    """One note for the user on each buffer that stays in the graph."""
    return [
        f"Buffer {printable(name)} holds infinite or NaN values; it stays a constant of the network and is not in the "
        "packed file."
        for name in names
    ]
