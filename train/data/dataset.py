"""A labelled data set, whole in memory, and the checks before anything is trained on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import InputError


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
        """Raises InputError for empty parts, wrong shapes, NaN inputs and labels out of range."""
        for part, images, labels in (
            ("training", self.train_images, self.train_labels), ("test", self.test_images, self.test_labels),
        ):  # fmt: skip
            where = f"The {part} set of {self.name}"
            if len(images) == 0:
                raise InputError(f"{where} is empty; give at least one example.")
            if labels.shape != images.shape[:1]:
                raise InputError(
                    f"{where} has {len(images)} inputs and labels of shape {tuple(labels.shape)}; give one label each."
                )
            if images.shape[1:] != self.train_images.shape[1:]:
                raise InputError(
                    f"{where} has inputs of shape {tuple(images.shape[1:])}, and the training set of "
                    f"{tuple(self.train_images.shape[1:])}; they have to agree."
                )
            if not bool(torch.isfinite(images).all()):
                raise InputError(f"{where} holds NaN or infinite inputs; mend the data.")
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= len(self.labels):
                wrong = low if low < 0 else high
                raise InputError(f"{where} holds label {wrong}; labels are 0 to {len(self.labels) - 1}.")

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
