"""A labelled data set, whole in memory, and the checks before anything is trained on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...labels import class_labels


@dataclass(frozen=True)
class DataSet:
    """Inputs as float32 (n, ...), pictures as (n, channels, height, width); classes as int64 (n,).

    A picture's input is the raw byte over `scale`; `description` says what else was done to it. `labels` are the
    classes' names.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    labels: tuple[str, ...]
    scale: float
    description: str

    def __post_init__(self) -> None:
        """Arrays become tensors, float64 inputs float32, and labels class numbers; see labels.class_labels.

        Raises InputError for empty parts, wrong types and shapes, NaN inputs and labels out of range.
        """
        if not self.labels:
            raise InputError(f"Data set {self.name} has no names of classes; give one for each class.")
        for part, inputs, labels in (
            ("train", "train_images", "train_labels"), ("test", "test_images", "test_labels"),
        ):  # fmt: skip
            where = f"The {'training' if part == 'train' else part} set of {self.name}"
            images = _inputs(getattr(self, inputs), where)
            object.__setattr__(self, inputs, images)
            if images.shape[1:] != self.train_images.shape[1:]:
                raise InputError(
                    f"{where} has inputs of shape {tuple(images.shape[1:])}, and the training set of "
                    f"{tuple(self.train_images.shape[1:])}; they have to agree."
                )
            object.__setattr__(self, labels, class_labels(getattr(self, labels), len(images), len(self.labels), where))

    def held_out(self, fraction: float) -> DataSet:
        """The same without its test set: a random part of the training set stands in for it, always the same part.

        What is chosen by error has to be chosen on this. Raises InputError when a part would be empty.
        """
        order = torch.randperm(len(self.train_images), generator=torch.Generator().manual_seed(0))
        count = round(fraction * len(order))
        kept, held = order[count:], order[:count]
        return replace(
            self, train_images=self.train_images[kept], train_labels=self.train_labels[kept],
            test_images=self.train_images[held], test_labels=self.train_labels[held],
        )  # fmt: skip

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train_images.shape[1:])


def _inputs(inputs: object, where: str) -> Tensor:
    """As a tensor of finite numbers, float64 as float32. Raises InputError."""
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind in "buif" and inputs.dtype.itemsize <= 8:
        inputs = torch.from_numpy(np.ascontiguousarray(inputs.astype(inputs.dtype.newbyteorder("="), copy=False)))
    if not isinstance(inputs, Tensor) or inputs.is_complex() or inputs.layout != torch.strided:
        kind = getattr(inputs, "dtype", type(inputs).__name__)
        raise InputError(f"{where} has inputs of type {kind}; give a dense tensor, or an array, of real numbers.")
    if inputs.ndim == 0 or len(inputs) == 0:
        raise InputError(f"{where} is empty; give at least one example.")
    if not bool(torch.isfinite(inputs).all()):
        raise InputError(f"{where} holds NaN or infinite inputs; mend the data.")
    if inputs.dtype == torch.float64:
        inputs = inputs.float()
        if not bool(torch.isfinite(inputs).all()):
            raise InputError(f"{where} holds inputs that float32 cannot; scale the data.")
    return inputs
