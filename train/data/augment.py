"""Pictures moved and mirrored at random, as a mini-batch is taken."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ...errors import InputError


class MovedPictures(Dataset[tuple[Tensor, Tensor]]):
    """Pictures and labels; an index tensor gives a batch, each picture moved afresh in each epoch.

    shift   pixels by which a picture is moved at most, up or down and left or right; what moves in is zero
    mirror  whether every second picture is mirrored left to right

    What happens to an example depends on seed, epoch and example alone: a resumed run, and processes that share a
    batch out, see what a single unbroken run sees.
    """

    def __init__(self, images: Tensor, labels: Tensor, *, shift: int, mirror: bool, seed: int) -> None:
        if not 0 <= shift < min(images.shape[-2:], default=0) or images.ndim != 4:
            raise InputError(
                f"A shift of {shift} pixels cannot be made of inputs of shape {tuple(images.shape[1:])}; pictures "
                "(channels, height, width) that are larger are needed."
            )
        self.images, self.labels, self.shift, self.mirror, self.seed = images, labels, shift, mirror, seed
        self.epoch = -1
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the epoch's moves."""
        if epoch == self.epoch:
            return
        self.epoch = epoch
        # Other numbers than the order of examples is drawn from.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch + 500_009)
        count = len(self.images)
        self._moves = torch.randint(0, 2 * self.shift + 1, (count, 2), generator=generator)
        self._mirrored = torch.rand(count, generator=generator) < 0.5

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        images = self.images[index]
        if self.shift:
            images = self._moved(images, self._moves[index])
        if self.mirror:
            images = torch.where(self._mirrored[index].reshape(-1, 1, 1, 1), images.flip(-1), images)
        return images, self.labels[index]

    def _moved(self, images: Tensor, moves: Tensor) -> Tensor:
        """Each picture cut from its zero-padded self, `moves` (n, 2) pixels below and right of the corner."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (self.shift,) * 4)
        rows = (moves[:, 0, None] + torch.arange(height))[:, None, :, None]
        columns = (moves[:, 1, None] + torch.arange(width))[:, None, None, :]
        examples = torch.arange(len(images))[:, None, None, None]
        return padded[examples, torch.arange(images.shape[1])[None, :, None, None], rows, columns]
