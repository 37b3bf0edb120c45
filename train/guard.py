"""What code of the user's gives while training, checked where it comes in: batches, outputs, exceptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError, user_code
from .likelihoods import Likelihood


class GuardedLoader:
    """A loader of batches that raises what its code raises as an InputError, and that has to give something.

    Everything else is asked of the loader itself.
    """

    def __init__(self, loader: Any, what: str) -> None:
        self._loader, self._what = loader, what

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # while it is being copied
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[Any]:
        with user_code(self._what):
            batches = iter(self._loader)
        count = 0
        while True:
            with user_code(self._what):
                try:
                    batch = next(batches)
                except StopIteration:
                    break
                except Exception as error:
                    raise _of_worker(error) from error
            count += 1
            if isinstance(batch, tuple | list) and any(isinstance(each, Tensor) and each.is_meta for each in batch):
                raise InputError(
                    f"{_sentence(self._what)} gave a tensor on the meta device, which has no values; give real batches."
                )
            yield batch
        if not count:
            raise InputError(
                f"{_sentence(self._what)} gave no batch; give one that begins anew in each epoch, like a DataLoader, "
                "and not an iterator that is used up."
            )


def _of_worker(error: Exception) -> Exception:
    """What a worker process of a DataLoader raised: torch puts a line of its own and a traceback before the message."""
    lines = str(error).strip().splitlines()
    if not lines or "in DataLoader worker process" not in lines[0]:
        return error
    kind = type(error).__name__
    message = [line.removeprefix(f"{kind}: ") for line in lines if line.startswith(f"{kind}: ")]
    try:
        return type(error)(message[-1] if message else lines[-1])
    except Exception:  # a type that is made in another way
        return error


def guarded(loader: Any, what: str) -> GuardedLoader:
    """The loader behind guards. Raises InputError when it cannot be trained from: no length, or nothing in it."""
    if not hasattr(loader, "__iter__"):
        raise InputError(
            f"{_sentence(what)} is of type {type(loader).__name__}; give a DataLoader, or a list of batches."
        )
    with user_code(what):
        try:
            length = len(loader) if isinstance(loader, Sized) else None
        except TypeError:  # a DataLoader of an IterableDataset has the method, and no length
            length = None
    if length is None:
        raise InputError(
            f"{_sentence(what)} has no length, and schedules follow the number of batches; give a DataLoader of a "
            "data set with a length, or a list of batches."
        )
    if length == 0:
        raise InputError(f"{_sentence(what)} is empty; give at least one batch.")
    return GuardedLoader(loader, what)


def split_batch(batch: Any, where: str) -> tuple[Any, Any]:
    """Inputs, as a tensor where they are an array, and labels as they are. Raises InputError for another batch."""
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        what = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
        raise InputError(f"{where} is of type {what}; give pairs of inputs and labels.")
    inputs, labels = batch
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind in "buif":
        inputs = torch.from_numpy(np.ascontiguousarray(inputs))
    if not isinstance(inputs, Tensor):
        raise InputError(f"{where} has inputs of type {type(inputs).__name__}; give a tensor of shape (n, ...).")
    if inputs.ndim == 0 or len(inputs) == 0:
        raise InputError(f"{where} has inputs of shape {tuple(inputs.shape)}; give at least one example.")
    return inputs, labels


def outputs_of(network: nn.Module | Callable[[Any], Any], inputs: Tensor, where: str, likelihood: Likelihood) -> Tensor:
    """The network's outputs, (n, ...). Raises InputError when it raises, or when they have no such likelihood."""
    with user_code(f"the network, given inputs {described(inputs)} ({where.lower()}),"):
        outputs = network(inputs)
    return likelihood.checked_outputs(outputs, inputs)


def described(inputs: Tensor) -> str:
    """Shape and type, for errors."""
    return f"of shape {tuple(inputs.shape)} and type {_type(inputs)}"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _sentence(what: str) -> str:
    return what[:1].upper() + what[1:]
