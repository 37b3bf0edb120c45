"""Pictures in folders by class, plain or in a tar archive: train/CLASS/*.png and test/CLASS/*.png."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import CorruptFileError, InputError, reason_of
from .dataset import DataSet

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".webp")
_PARTS = ("train", "test")


def picture_folder(name: str, path: Path) -> DataSet:
    """A data set from a folder, or a tar archive (compressed or not), of train/CLASS/PICTURE and test/CLASS/PICTURE.

    Classes are numbered in the order of their names, which the training part sets. All pictures have one size;
    grey ones become one channel, others three. Inputs are bytes over 255.

    Raises InputError for a part without pictures, pictures of several sizes and classes of the test part that the
    training part has not, CorruptFileError for a picture or an archive that cannot be read.
    """
    found: dict[str, list[tuple[str, npt.NDArray[np.uint8]]]] = {part: [] for part in _PARTS}
    for place, data in _files(path):
        part, label = place.parts[-3], place.parts[-2]
        found[part].append((label, _decode(place, data)))
    for part, pictures in found.items():
        if not pictures:
            raise InputError(f"{path} has no pictures in {part}/CLASS/; lay them out as train/CLASS and test/CLASS.")
    classes = tuple(sorted({label for label, _ in found["train"]}))
    channels = max(picture.shape[0] for pictures in found.values() for _, picture in pictures)
    train_images, train_labels = _stacked(path, found["train"], classes, channels)
    test_images, test_labels = _stacked(path, found["test"], classes, channels)
    height, width = train_images.shape[2:]
    return DataSet(
        name, train_images, train_labels, test_images, test_labels, classes, 255.0,
        f"{height}x{width} pictures of 0 to 255, {channels} channel{'s' if channels > 1 else ''}",
    )  # fmt: skip


def _files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Pictures in the order of their names, so that the same files always give the same tensors."""
    if path.is_dir():
        for file in sorted(file for part in _PARTS for file in path.glob(f"{part}/*/*")):
            place = PurePosixPath(file.relative_to(path).as_posix())
            if file.suffix.lower() in _ENDINGS:
                yield place, file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            members = []
            for member in archive:  # in one pass: a compressed archive cannot be sought cheaply
                place = PurePosixPath(member.name)
                wanted = len(place.parts) >= 3 and place.parts[-3] in _PARTS and place.suffix.lower() in _ENDINGS
                stream = archive.extractfile(member) if wanted and member.isfile() else None
                if stream is not None:
                    members.append((place, stream.read()))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise CorruptFileError(f"{path} is no folder and no sound tar archive ({reason_of(error)}).") from None
    yield from sorted(members, key=lambda each: each[0])


def _decode(place: PurePosixPath, data: bytes) -> npt.NDArray[np.uint8]:
    """(channels, height, width)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            grey = image.mode in ("1", "L", "I;16")
            pixels = np.asarray(image.convert("L" if grey else "RGB"), np.uint8)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise CorruptFileError(f"Picture {place} cannot be read ({reason_of(error)}); remove or mend it.") from None
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _stacked(
    path: Path, pictures: list[tuple[str, npt.NDArray[np.uint8]]], classes: tuple[str, ...], channels: int
) -> tuple[Tensor, Tensor]:
    size = pictures[0][1].shape[1:]
    numbers = {label: number for number, label in enumerate(classes)}
    images = np.empty((len(pictures), channels, *size), np.float32)
    labels = np.empty(len(pictures), np.int64)
    for index, (label, picture) in enumerate(pictures):
        if picture.shape[1:] != size:
            raise InputError(
                f"{path} has pictures of {size} and of {picture.shape[1:]} pixels; scale them to one size."
            )
        if label not in numbers:
            raise InputError(f"{path} has class {label!r} in test/ and not in train/; the parts have to agree.")
        images[index] = picture  # a grey picture among coloured ones fills all channels
        labels[index] = numbers[label]
    images /= 255.0
    return torch.from_numpy(images), torch.from_numpy(labels)
