"""Small image data sets, whole in memory: the digits inside scikit-learn, and MNIST's IDX files."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from ..errors import CorruptFileError, InputError
from ..files import read_bytes

DATA_ENVIRONMENT = "BAYESPRESS_DATA"
_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DataSet:
    """Images as float32 (n, channels, height, width), classes as int64 (n,).

    An input is the raw byte over `scale`; `description` says what else was done to the picture.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    labels: tuple[str, ...]
    scale: float
    description: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train_images.shape[1:])


def digits(_data_dir: Path | None = None) -> DataSet:
    """The 1,797 handwritten digits that ship inside scikit-learn, 8x8 scaled up to 28x28; nothing is downloaded.

    The split is fixed and stratified: 1,437 to train, 360 to test. No folder is looked at.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw = load_digits()
    images = torch.from_numpy(raw.images.astype(np.float32) / 16.0).unsqueeze(1)
    images = F.interpolate(images, size=(28, 28), mode="bilinear", align_corners=False)
    labels = torch.from_numpy(raw.target.astype(np.int64))
    train, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=raw.target, random_state=0)
    return DataSet(
        "digits", images[train], labels[train], images[test], labels[test], _DIGITS, 16.0,
        "8x8 pictures of 0 to 16, scaled bilinearly to 28x28",
    )  # fmt: skip


def mnist(data_dir: Path | None = None) -> DataSet:
    """The real MNIST from its four IDX files, gzipped or not, in `data_dir` or `data_dir/mnist`.

    Without `data_dir` the environment variable BAYESPRESS_DATA names the folder. Raises InputError when a file
    is missing and CorruptFileError when one is not what its header says.
    """
    folder = _data_folder("mnist", data_dir, "train-images-idx3-ubyte")

    def images(name: str, count: int) -> Tensor:
        array = _read_idx(_idx_path(folder, name), (count, 28, 28))
        return torch.from_numpy(array.astype(np.float32) / 255.0).unsqueeze(1)

    def labels(name: str, count: int) -> Tensor:
        array = _read_idx(_idx_path(folder, name), (count,))
        if array.max() > 9:
            raise CorruptFileError(f"{name} holds label {array.max()}, and MNIST's are 0 to 9; fetch the file again.")
        return torch.from_numpy(array.astype(np.int64))

    return DataSet(
        "mnist",
        images("train-images-idx3-ubyte", 60000), labels("train-labels-idx1-ubyte", 60000),
        images("t10k-images-idx3-ubyte", 10000), labels("t10k-labels-idx1-ubyte", 10000),
        _DIGITS, 255.0, "28x28 pictures of 0 to 255",
    )  # fmt: skip


DATA_SETS = {"digits": digits, "mnist": mnist}


def load_data(name: str, data_dir: Path | None = None) -> DataSet:
    """The data set of this name. Raises InputError for an unknown one."""
    if name not in DATA_SETS:
        raise InputError(f"There is no data set {name!r}; the data sets are {', '.join(DATA_SETS)}.")
    return DATA_SETS[name](data_dir)


def batches(
    images: Tensor, labels: Tensor, batch_size: int, *, seed: int | None = None
) -> DataLoader[tuple[Tensor, ...]]:
    """Mini-batches sliced from tensors in memory, not collated one by one.

    With a seed the order is new each epoch and depends on seed and epoch alone, so that a resumed run sees what
    an uninterrupted one sees; without, it is the order given. The last batch may be smaller.
    """
    order = BatchOrder(len(images), batch_size, seed)
    # A generator of its own: the loader would draw from torch's, and shift the noise of a resumed run.
    return DataLoader(TensorDataset(images, labels), batch_size=None, sampler=order, generator=torch.Generator())


class BatchOrder(Sampler[Tensor]):
    """Index tensors, one a batch; Lightning announces the epoch through `set_epoch`.

    Where several processes train together each takes every n-th example of each batch: the mean of their gradients
    is then the whole batch's, as if one process had trained.
    """

    def __init__(self, examples: int, batch_size: int, seed: int | None) -> None:
        self.examples, self.batch_size, self.seed, self.epoch = examples, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

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


def _data_folder(name: str, data_dir: Path | None, first_file: str) -> Path:
    given = data_dir or (Path(os.environ[DATA_ENVIRONMENT]) if os.environ.get(DATA_ENVIRONMENT) else None)
    if given is None:
        raise InputError(f"Data set {name} needs its files: name their folder by --data-dir or {DATA_ENVIRONMENT}.")
    for folder in (given, given / name):
        if any((folder / f"{first_file}{end}").is_file() for end in ("", ".gz")):
            return folder
    raise InputError(
        f"{first_file}[.gz] is neither in {given} nor in {given / name}; "
        f"point --data-dir or {DATA_ENVIRONMENT} at the folder that holds {name}."
    )


def _idx_path(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 IDX file: two zero bytes, type 8, rank, big-endian uint32 sizes, then the bytes."""
    data = read_bytes(path, "data file")
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise CorruptFileError(f"{path} is not a whole gzip file ({error}); fetch it again.") from None
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    if data[: len(header)] != header or len(data) != len(header) + math.prod(shape):
        raise CorruptFileError(f"{path} is not the IDX file of shape {shape} that was expected; fetch it again.")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)
