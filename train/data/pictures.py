"""Pictures in folders by class, plain or in a tar archive: train/CLASS/*.png and test/CLASS/*.png."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...text import printable
from .dataset import DataSet, Part
from .picture_decode import Pixels, decode
from .picture_files import PARTS, PassedOver, PictureFile, picture_files

_LOG_EVERY_S = 5.0  # seconds


class _Picture(NamedTuple):
    label: str
    place: str
    pixels: Pixels


def picture_folder(name: str, path: Path, log: Callable[[str], None] = lambda _text: None) -> DataSet:
    """A data set from a folder, or a tar archive (compressed or not), of train/CLASS/PICTURE and test/CLASS/PICTURE.

    Classes are numbered in the order of their names, character by character ("10" comes before "2"), which the
    training part sets. All pictures have one size; where all are grey they become one channel, else three. Inputs are
    from 0 to 1: bytes over 255, and finer values likewise. What of colours, transparency and orientation is done is
    documented in picture_decode.py. `log` is called with what was passed over, by reason, and with progress.

    Raises InputError for a part without pictures, pictures of several sizes, classes of the test part that the
    training part has not, and pictures that do not fit memory; CorruptFileError for a picture or an archive that
    cannot be read.
    """
    passed = PassedOver()
    files = list(picture_files(path, passed))
    _check_parts(path, files, passed)
    found: dict[str, list[_Picture]] = {part: [] for part in PARTS}
    logged = time.monotonic()
    for number, file in enumerate(files):
        if time.monotonic() - logged > _LOG_EVERY_S:
            log(f"read {number} of {len(files)} pictures")
            logged = time.monotonic()
        decoded = decode(file.place, file.read())
        if decoded.frames > 1:
            passed.add("pictures of several frames, of which the first is taken", file.place)
        if decoded.on_black:
            passed.add("transparent pictures laid over black, as over white nothing would be seen", file.place)
        found[file.part].append(_Picture(file.label, file.place, decoded.pixels))
        _check_size(path, found, file, decoded.pixels, len(files))
    classes = tuple(sorted({picture.label for picture in found["train"]}))
    missing = [label for label in classes if label not in {picture.label for picture in found["test"]}]
    for label in missing:
        passed.add("classes without pictures in test/", label)
    for note in passed.notes():
        log(note)
    channels = max(picture.pixels.shape[0] for pictures in found.values() for picture in pictures)
    train, test = (Part(*_stacked(path, found[part], classes, channels)) for part in ("train", "test"))
    height, width = train.inputs.shape[2:]
    return DataSet(
        name, train, test, classes, 255.0,
        f"{height}x{width} pictures of 0 to 255, {channels} channel{'s' if channels > 1 else ''}",
    )  # fmt: skip


def _check_parts(path: Path, files: Sequence[PictureFile], passed: PassedOver) -> None:
    """Refuse a part without pictures, and say what was there instead."""
    for part in PARTS:
        if not any(file.part == part for file in files):
            instead = f" (passed over: {'; '.join(passed.notes())})" if passed.notes() else ""
            raise InputError(
                f"{printable(path)} has no pictures in {part}/CLASS/{instead}; lay them out as train/CLASS and "
                "test/CLASS."
            )


def _check_size(path: Path, found: dict[str, list[_Picture]], file: PictureFile, pixels: Pixels, count: int) -> None:
    """Refuse another size than the first picture's, and at the first one a set that does not fit memory."""
    first = next(pictures[0] for pictures in found.values() if pictures)
    size, expected = pixels.shape[1:], first.pixels.shape[1:]
    if size != expected:
        raise InputError(
            f"{printable(path)} has pictures of {expected} and of {size} pixels, height and width ({first.place}, "
            f"{file.place}); scale them to one size."
        )
    if sum(len(pictures) for pictures in found.values()) == 1:
        needed = count * int(np.prod(pixels.shape)) * 5  # a byte as read and four as trained on
        memory = _memory()
        if memory is not None and needed > memory:
            raise InputError(
                f"{count} pictures of {size[0]} x {size[1]} need {needed >> 30} GiB of memory, and this machine has "
                f"{memory >> 30}; scale them down, or train on fewer."
            )


def _memory() -> int | None:
    """Bytes of the machine's main memory, where the system reports it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _stacked(path: Path, pictures: list[_Picture], classes: tuple[str, ...], channels: int) -> tuple[Tensor, Tensor]:
    """Inputs (n, channels, height, width) from 0 to 1, and classes; the pictures are let go on the way."""
    numbers = {label: number for number, label in enumerate(classes)}
    images = np.empty((len(pictures), channels, *pictures[0].pixels.shape[1:]), np.float32)
    labels = np.empty(len(pictures), np.int64)
    for index, picture in enumerate(pictures):
        if picture.label not in numbers:
            raise InputError(
                f"{printable(path)} has class {picture.label!r} in test/ and not in train/; the parts have to agree."
            )
        images[index] = picture.pixels  # a grey picture among coloured ones fills all channels
        labels[index] = numbers[picture.label]
    images /= 255.0
    return torch.from_numpy(images), torch.from_numpy(labels)
