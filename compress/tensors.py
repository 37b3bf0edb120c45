"""The tensors of a network by name."""

from __future__ import annotations

from torch import Tensor, nn

_EXTRA = "_extra_state"  # what get_extra_state returns; a tensor at times, but none that a graph reads


def is_extra_state(name: str) -> bool:
    """Whether a state-dict entry of this name is what a module's get_extra_state returned."""
    return name.rpartition(".")[2] == _EXTRA


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """The state dict's parameters and buffers, without the extra state that modules may keep there."""
    return {
        name: value
        for name, value in network.state_dict().items()
        if isinstance(value, Tensor) and not is_extra_state(name)
    }
