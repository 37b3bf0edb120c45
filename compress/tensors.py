"""The tensors of a network by name."""

from __future__ import annotations

from torch import Tensor, nn

_EXTRA = "_extra_state"  # key of the value that get_extra_state returns; it may be a tensor, but no graph reads it


def is_extra_state(name: str) -> bool:
    """Whether the state-dict entry of this name is the return value of a module's get_extra_state."""
    return name.rpartition(".")[2] == _EXTRA


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers in the network's state dict, without the extra state of modules."""
    return {
        name: value
        for name, value in network.state_dict().items()
        if isinstance(value, Tensor) and not is_extra_state(name)
    }
