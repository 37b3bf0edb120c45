"""The optimiser of a training run: Adam, or what the caller's own function makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch.optim import Optimizer

from ..errors import InputError, user_code

# Takes parameter groups, as torch.optim's classes do: {"params": [...], "lr": ...}, one for each learning rate.
OptimizerFactory: TypeAlias = Callable[[list[dict[str, Any]]], Optimizer]


def adam(groups: list[dict[str, Any]], *, fused: bool) -> Optimizer:
    """Adam; fused, in one pass over memory, unless gradients are to be clipped under mixed precision."""
    return torch.optim.Adam(groups, fused=fused)


def own_optimizer(factory: OptimizerFactory, groups: list[dict[str, Any]]) -> Optimizer:
    """What `factory` makes of the groups.

    Raises InputError when it raises, when it gives something else, and when it optimises parameters that are not the
    network's, which would leave the network as it is.
    """
    named = f"the optimizer {getattr(factory, '__name__', type(factory).__name__)}"
    own = {id(parameter) for group in groups for parameter in group["params"]}
    with user_code(named):
        made = factory(groups)
    if not isinstance(made, Optimizer):
        raise InputError(
            f"{named[:1].upper()}{named[1:]} gave a {type(made).__name__}; give a function that takes parameter groups "
            "and returns a torch.optim.Optimizer, as torch.optim.AdamW does."
        )
    if any(id(parameter) not in own for group in made.param_groups for parameter in group["params"]):
        raise InputError(
            f"{named[:1].upper()}{named[1:]} holds parameters that are not in the groups that it was given; let it "
            "optimise those groups."
        )
    return made


def optimizer_name(optimizer: Any) -> str:
    """The class, as checkpoints name it."""
    kind = type(getattr(optimizer, "optimizer", optimizer))  # Lightning wraps what it steps
    return f"{kind.__module__}.{kind.__qualname__}"


def check_resumed(optimizer: Optimizer, name: str, state: dict[str, Any], path: Path) -> None:
    """See that the checkpoint at `path` holds the state of such an optimiser.

    name, state  class of the optimiser that the checkpoint was written with, and its state dict

    Raises InputError when it is another class, or has other parameter groups.
    """
    own = optimizer_name(optimizer)
    if own != name:
        raise InputError(
            f"The checkpoint {path} is of a run with the optimizer {name}, and it is resumed with {own}; give the same "
            "optimizer=, or train without resume."
        )
    sizes = [[len(group["params"]) for group in groups] for groups in (state["param_groups"], optimizer.param_groups)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"The optimizer has {sizes[1]} parameters in its groups, and in the checkpoint {path} it has {sizes[0]}; "
            "give the same optimizer= and method, or train without resume."
        )
