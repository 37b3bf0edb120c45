"""Class labels from outside: taken where they can mean one thing only, refused by name otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import InputError
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_MOST_CLASSES = 1 << 20


def class_labels(labels: Any, examples: int, classes: int, where: str) -> Tensor:
    """`labels` as class numbers, int64 (n,), where n is `examples`.

    labels   a tensor, a NumPy array or a list of whole numbers or booleans: (n,) or (n, 1) class numbers, or
             (n, classes) with a single 1 a row and 0 elsewhere (one-hot, of any number type)
    classes  how many there are; labels are 0 to classes - 1
    where    names the labels in errors, as in "The training set of mnist" or "Batch 3 of the training loader"

    Raises InputError for any other type or shape, and for a label out of range.
    """
    import torch

    found = _as_tensor(labels, where)
    shape = tuple(found.shape)
    if not shape or shape[0] != examples:
        raise InputError(f"{where} has {examples} inputs and labels of shape {shape}; give one label each.")
    if len(shape) == 2 and shape[1] == 1:
        found = found.squeeze(1)
    elif len(shape) == 2 and shape[1] == classes and not found.is_complex():
        numbers = found.argmax(1) if found.dtype != torch.bool else found.to(torch.uint8).argmax(1)
        if not torch.equal(found.to(torch.float64), torch.nn.functional.one_hot(numbers, classes).to(torch.float64)):
            raise InputError(
                f"{where} has labels of shape {shape} that are not one-hot (one 1 a row, 0 elsewhere); give class "
                f"numbers from 0 to {classes - 1}, or choose the task multi-label or gaussian."
            )
        return numbers
    elif len(shape) != 1:
        raise InputError(
            f"{where} has labels of shape {shape}; give class numbers of shape ({examples},), or one-hot labels of "
            f"shape ({examples}, {classes})."
        )
    if found.is_floating_point() or found.is_complex():
        raise InputError(
            f"{where} has labels of type {str(found.dtype).removeprefix('torch.')}, and class numbers are needed; "
            "convert them with .long() if they are classes, or choose the task gaussian for real numbers."
        )
    found = found.to(torch.int64)
    low, high = (int(found.min()), int(found.max())) if examples else (0, 0)
    if low < 0 or (high >= classes and examples):
        wrong = low if low < 0 else high
        raise InputError(f"{where} holds label {wrong}; labels are 0 to {classes - 1}.")
    return found


def class_count(parts: Iterable[Any], where: str) -> int:
    """How many classes the labels of all `parts` speak of: the columns of one-hot labels, else the largest plus 1.

    Raises InputError for labels that are none, and for a largest one that can be no class's number.
    """
    count = 1
    for labels in parts:
        found = _as_tensor(labels, where)
        if found.ndim == 2 and found.shape[1] > 1:
            count = max(count, found.shape[1])
        elif found.numel() and not found.is_complex():
            count = max(count, 1 + int(found.nan_to_num(0.0, 0.0, 0.0).max()))
    if count > _MOST_CLASSES:
        raise InputError(f"{where} holds label {count - 1}; labels are class numbers that begin at 0, without gaps.")
    return count


def _as_tensor(labels: Any, where: str) -> Tensor:
    import numpy as np
    import torch

    if isinstance(labels, torch.Tensor):
        if labels.layout != torch.strided or labels.is_quantized:
            raise InputError(f"{where} has labels of layout {labels.layout}; give a dense tensor.")
        if labels.dtype not in (torch.uint16, torch.uint32, torch.uint64):
            return labels
        labels = labels.detach().cpu().numpy()
    try:
        array = np.asarray(labels)
    except (ValueError, TypeError, RuntimeError):
        array = np.asarray(None)  # ragged, or not to be looked into
    if array.dtype.kind not in "buif":
        kind = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise InputError(f"{where} has labels of type {printable(kind)}; give class numbers as an integer tensor.")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # torch lacks operations on these
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise InputError(f"{where} holds label {array.max()}, which is no class number; labels begin at 0.")
        array = array.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)))
