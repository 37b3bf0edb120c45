"""CIFAR-10 (Krizhevsky 2009), from its Python batches or from pictures in folders."""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import CorruptFileError, reason_of
from ...files import read_bytes
from .dataset import DataSet, Part
from .pictures import picture_folder
from .sources import fetched_folder, find_folder, named_folder

_NAME = "cifar10"
_BATCHES = "cifar-10-batches-py"
_ARCHIVE = "cifar-10-python.tar.gz"
_BASE = "https://www.cs.toronto.edu/~kriz/"
_MD5 = "md5:c58f30108f718f92721af3b95e74349a"
_PICTURES = "cifar10-jpeg.tar.xz"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_LARGEST = 1 << 28  # bytes of a batch, which has 31 million as published
_LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10(data_dir: Path | None = None, log: Callable[[str], None] = lambda _text: None) -> DataSet:
    """50,000 and 10,000 pictures of 3x32x32, from what the named folder (or its subfolder cifar10) holds.

    In this order: the folder cifar-10-batches-py or the archive cifar-10-python.tar.gz, as published; a folder with
    train/CLASS and test/CLASS; cifar10-jpeg.tar.xz of the same layout. When no folder was named, the published
    archive is fetched into the user's cache. Raises InputError and CorruptFileError as the others do.
    """
    given = named_folder(data_dir)
    if given is None:
        return _from_archive(fetched_folder(_NAME, _BASE, {_ARCHIVE: _MD5}) / _ARCHIVE)
    folder = find_folder(_NAME, given, (_BATCHES, _ARCHIVE, "train", _PICTURES))
    if (folder / _BATCHES).is_dir():
        return _data_set({file: _bytes_of(folder / _BATCHES / file) for file in (*_TRAIN, "test_batch")})
    if (folder / _ARCHIVE).is_file():
        return _from_archive(folder / _ARCHIVE)
    return picture_folder(_NAME, folder if (folder / "train").is_dir() else folder / _PICTURES, log)


def _bytes_of(path: Path) -> bytes:
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise CorruptFileError(f"{path} is too large for a batch of CIFAR-10; fetch it again.")
    return read_bytes(path, "data file")


def _from_archive(path: Path) -> DataSet:
    try:
        with tarfile.open(path) as archive:
            streams = {file: archive.extractfile(f"{_BATCHES}/{file}") for file in (*_TRAIN, "test_batch")}
            files = {file: b"" if stream is None else stream.read(_LARGEST) for file, stream in streams.items()}
    except Exception as error:  # the compressions' modules have exceptions of their own
        raise CorruptFileError(f"{path} is not CIFAR-10's archive ({reason_of(error)}); fetch it again.") from None
    return _data_set(files)


class _PlainUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists, bytes and NumPy arrays, and calls nothing else: pickles can run programs."""

    _ALLOWED = frozenset(
        {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"),
         ("numpy", "dtype"), ("_codecs", "encode")}
    )  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _data_set(files: dict[str, bytes]) -> DataSet:
    train = [_batch(file, files[file]) for file in _TRAIN]
    return DataSet(
        _NAME, Part(torch.cat([images for images, _ in train]), torch.cat([labels for _, labels in train])),
        Part(*_batch("test_batch", files["test_batch"])), _LABELS, 255.0, "32x32 pictures of 0 to 255, 3 channels",
    )  # fmt: skip


def _batch(name: str, data: bytes) -> tuple[Tensor, Tensor]:
    import io

    try:
        fields = _PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
        pixels = np.asarray(fields[b"data"], np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(fields[b"labels"], np.int64)
        if labels.shape != pixels.shape[:1] or not ((labels >= 0) & (labels < len(_LABELS))).all() or not labels.size:
            raise ValueError(f"labels of shape {labels.shape}, from 0 to 9, for {len(pixels)} pictures were expected")
    except Exception as error:
        # A damaged pickle raises nearly anything.
        raise CorruptFileError(f"{name} is not a batch of CIFAR-10 ({reason_of(error)}); fetch it again.") from None
    return torch.from_numpy(pixels.astype(np.float32) / 255.0), torch.from_numpy(labels)
