"""Mini-batches of tensors in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from .augment import MovedPictures


def batches(
    images: Tensor, labels: Tensor, batch_size: int, *, seed: int | None = None, shift: int = 0, mirror: bool = False
) -> DataLoader[tuple[Tensor, ...]]:
    """Mini-batches sliced from tensors in memory, not collated one by one.

    With a seed the order is new each epoch and depends on seed and epoch alone, so that a resumed run sees what
    an uninterrupted one sees; without, it is the order given. The last batch may be smaller.

    shift, mirror  pictures are moved by up to so many pixels, and mirrored, at random; see augment.MovedPictures
    """
    data: Dataset[tuple[Tensor, ...]] = TensorDataset(images, labels)
    moved = None
    if shift or mirror:
        data = moved = MovedPictures(images, labels, shift=shift, mirror=mirror, seed=seed or 0)
    order = BatchOrder(len(images), batch_size, seed, moved)
    # A generator of its own: the loader would draw from torch's, and shift the noise of a resumed run.
    return DataLoader(data, batch_size=None, sampler=order, generator=torch.Generator())


class BatchOrder(Sampler[Tensor]):
    """Index tensors, one a batch; Lightning announces the epoch through `set_epoch`.

    Where several processes train together each takes every n-th example of each batch: the mean of their gradients
    is then the whole batch's, as if one process had trained.
    """

    def __init__(self, examples: int, batch_size: int, seed: int | None, moved: MovedPictures | None = None) -> None:
        self.examples, self.batch_size, self.seed, self.epoch, self.moved = examples, batch_size, seed, 0, moved

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if self.moved is not None:
            self.moved.set_epoch(epoch)

    def __len__(self) -> int:
        return math.ceil(self.examples / self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        if self.seed is None:
            order = torch.arange(self.examples)
        else:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.examples, generator=generator)
        rank, world = _place()
        for batch in torch.split(order, self.batch_size):
            yield batch[rank::world] if len(batch) >= world else batch


def _place() -> tuple[int, int]:
    """Number of this process among those that train together, and how many there are."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
