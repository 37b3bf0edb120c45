"""MNIST and Fashion-MNIST from their IDX files."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import CorruptFileError, reason_of
from ...files import read_bytes
from .dataset import DataSet, Part
from .sources import fetched_folder, find_folder, named_folder

_FILES = {
    "train-images-idx3-ubyte": (60000, 28, 28),
    "train-labels-idx1-ubyte": (60000,),
    "t10k-images-idx3-ubyte": (10000, 28, 28),
    "t10k-labels-idx1-ubyte": (10000,),
}


@dataclass(frozen=True)
class _Source:
    """Where the gzipped files can be fetched, their MD5 in the order of _FILES, and the classes' names."""

    base: str
    checksums: tuple[str, str, str, str]
    labels: tuple[str, ...]


_MNIST = _Source(
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
     "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
    tuple("0123456789"),
)  # fmt: skip
_FASHION = _Source(
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
     "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)  # fmt: skip


def mnist(data_dir: Path | None = None) -> DataSet:
    """MNIST, 60,000 and 10,000 pictures of 28x28; see _load."""
    return _load("mnist", _MNIST, data_dir)


def fashion_mnist(data_dir: Path | None = None) -> DataSet:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), of MNIST's shape; see _load."""
    return _load("fashion-mnist", _FASHION, data_dir)


def _load(name: str, source: _Source, data_dir: Path | None) -> DataSet:
    """From four IDX files, gzipped or not, in the folder that was named (or its subfolder `name`).

    When no folder was named they are fetched into the user's cache. Raises InputError when a file is missing or
    cannot be fetched and CorruptFileError when one is not what its header says.
    """
    given = named_folder(data_dir)
    if given is None:
        checksums = {f"{file}.gz": f"md5:{md5}" for file, md5 in zip(_FILES, source.checksums, strict=True)}
        folder = fetched_folder(name, source.base, checksums)
    else:
        first = next(iter(_FILES))
        folder = find_folder(name, given, (f"{first}.gz", first))
    arrays = [_read_idx(_idx_path(folder, file), shape) for file, shape in _FILES.items()]
    for file, array in zip(_FILES, arrays, strict=True):
        if array.ndim == 1 and array.max() > 9:
            raise CorruptFileError(f"{file} holds label {array.max()}, and labels are 0 to 9; fetch the file again.")
    train_images, train_labels, test_images, test_labels = arrays
    return DataSet(
        name, Part(_images(train_images), _labels(train_labels)), Part(_images(test_images), _labels(test_labels)),
        source.labels, 255.0, "28x28 pictures of 0 to 255",
    )  # fmt: skip


def _images(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32) / 255.0).unsqueeze(1)


def _labels(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.int64))


def _idx_path(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 IDX file: two zero bytes, type 8, rank, big-endian uint32 sizes, then the bytes."""
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    expected = len(header) + math.prod(shape)
    if path.suffix == ".gz":
        data = _read(path, 2 * expected)
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(expected + 1)  # a byte more than there should be, and no more
        except (OSError, EOFError, zlib.error) as error:
            raise CorruptFileError(f"{path} is not a whole gzip file ({reason_of(error)}); fetch it again.") from None
    else:
        data = _read(path, expected)
    if data[: len(header)] != header or len(data) != expected:
        raise CorruptFileError(f"{path} is not the IDX file of shape {shape} that was expected; fetch it again.")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)


def _read(path: Path, most: int) -> bytes:
    """The file, or nothing of one that is too large to be it."""
    if path.is_file() and path.stat().st_size > most:
        return b""
    return read_bytes(path, "data file")
