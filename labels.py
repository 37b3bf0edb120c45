"""Validation of class labels from data sets and loaders: unambiguous labels are converted, others are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import InputError
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_MOST_CLASSES = 1 << 20


def class_labels(labels: Any, examples: int, classes: int, where: str) -> Tensor:
    """Convert labels to class numbers: an int64 tensor of shape (n,), where n is `examples`.

    labels   tensor, NumPy array or list: class numbers of shape (n,) or (n, 1) as whole numbers or booleans, or
             one-hot labels of shape (n, classes) in any number type, with a single 1 in each row and 0 elsewhere
    classes  number of classes; valid labels are 0 to classes - 1
    where    source of the labels, for error messages: "The training set of mnist", "Batch 3 of the training loader"

    Raises InputError for another type or shape, and for a label out of range.
    """
    import torch

    tensor = _as_tensor(labels, where)
    shape = tuple(tensor.shape)
    if not shape or shape[0] != examples:
        raise InputError(f"{where} has {examples} inputs and labels of shape {shape}; give one label each.")
    if len(shape) == 2 and shape[1] == 1:
        tensor = tensor.squeeze(1)
    elif len(shape) == 2 and shape[1] == classes and not tensor.is_complex():
        numbers = tensor.argmax(1) if tensor.dtype != torch.bool else tensor.to(torch.uint8).argmax(1)
        if not torch.equal(tensor.to(torch.float64), torch.nn.functional.one_hot(numbers, classes).to(torch.float64)):
            raise InputError(
                f"{where} has labels of shape {shape} that are not one-hot (a single 1 in each row); give class "
                f"numbers from 0 to {classes - 1}, or choose the task multi-label or gaussian."
            )
        return numbers
    elif len(shape) != 1:
        raise InputError(
            f"{where} has labels of shape {shape}; give class numbers of shape ({examples},), or one-hot labels of "
            f"shape ({examples}, {classes})."
        )
    if tensor.is_floating_point() or tensor.is_complex():
        raise InputError(
            f"{where} has labels of type {str(tensor.dtype).removeprefix('torch.')}, and class numbers are needed; "
            "convert them with .long() if they are classes, or choose the task gaussian for real numbers."
        )
    tensor = tensor.to(torch.int64)
    low, high = (int(tensor.min()), int(tensor.max())) if examples else (0, 0)
    if low < 0 or (high >= classes and examples):
        invalid = low if low < 0 else high
        raise InputError(f"{where} holds label {invalid}; labels must be 0 to {classes - 1}.")
    return tensor


def class_count(parts: Iterable[Any], where: str) -> int:
    """The number of classes in the labels of all `parts`: the columns of one-hot labels, or the largest label plus 1.

    Raises InputError for invalid labels, and for a largest label that is too large to be a class number.
    """
    count = 1
    for labels in parts:
        tensor = _as_tensor(labels, where)
        if tensor.ndim == 2 and tensor.shape[1] > 1:
            count = max(count, tensor.shape[1])
        elif tensor.numel() and not tensor.is_complex():
            count = max(count, 1 + int(tensor.nan_to_num(0.0, 0.0, 0.0).max()))
    if count > _MOST_CLASSES:
        raise InputError(f"{where} holds label {count - 1}; number the classes from 0 without gaps.")
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
        array = np.asarray(None)  # ragged lists, or an object that does not convert to an array
    if array.dtype.kind not in "buif":
        kind = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise InputError(f"{where} has labels of type {printable(kind)}; give class numbers as an integer tensor.")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # torch lacks operations on these types
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise InputError(f"{where} holds label {array.max()}, which is too large; number the classes from 0.")
        array = array.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)))
