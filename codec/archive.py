"""Opening a file without decoding it: one tensor at a time, or several at once."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import InputError
from ..files import StrPath
from ..text import printable
from .native import (
    Opened,
    check_section,
    name_of,
    new_workspace,
    open_file,
    read_array,
    read_csr,
    read_tensor,
    shape_of,
)
from .tensor import Tensor


def open(path: StrPath, *, max_elements: int | None = None) -> Archive:  # noqa: A001 - as gzip.open and others
    """A `.bpz` file with its directory verified and nothing decoded; its bytes stay on disk, mapped.

    The sections of a seekable file are verified one by one as they are decoded, those of a small file all at once now.

    max_elements  see decode

    Raises InputError when there is no such file or it has too many elements, CorruptFileError when it is damaged.
    """
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # An empty file cannot be mapped; the decoder reports what is wrong with it.
            data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read ({error.strerror}); name a .bpz file.") from None
    except ValueError:
        raise InputError(f"{printable(path)} holds a NUL character and is no path; name a .bpz file.") from None
    return Archive(open_file(data, max_elements))


class Archive(Mapping[str, Tensor]):
    """Tensors by name, in file order; each is decoded on access. Threads may share an archive."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._tensors = {name_of(tensor): tensor for tensor in opened.tensors}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __getitem__(self, name: str) -> Tensor:
        """The tensor's levels and map, or its raw values. Raises KeyError, and CorruptFileError for a bad section."""
        return read_tensor(self._opened, self._tensors[name], new_workspace())

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without decoding it."""
        return shape_of(self._tensors[name])

    def nonzero(self, name: str) -> int:
        """The number of its elements that are not 0; of a raw tensor, the number of all elements."""
        return int(self._tensors[name].nonzero)

    def section(self, name: str) -> tuple[int, int]:
        """The offset of the tensor's section in the file, and its size in bytes with its checksum."""
        return int(self._tensors[name].section_offset), int(self._tensors[name].section_size)

    def array(self, name: str, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """One tensor's values as float32 or float16, as a device computes them, or its levels as int8 or int32.

        Raises what `archive[name]` does, and InputError where an element does not fit, or a raw tensor has no levels.
        """
        return read_array(self._opened, self._tensors[name], new_workspace(), dtype)

    def csr(
        self, name: str, dtype: DTypeLike = np.float32
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[Any]]:
        """A quantised tensor as compressed sparse rows, never dense in memory: row pointer, columns, elements.

        Rows are the first axis (one row up to rank 1), columns the others in C order; the row pointer has one number
        more than there are rows, also where the columns are none. Raises what `array` raises, and InputError for a raw
        tensor, for 2^32 columns, and for a tensor without elements that has more rows than `max_elements`.
        """
        return read_csr(self._opened, self._tensors[name], new_workspace(), dtype)

    def arrays(self, threads: int | None = None, dtype: DTypeLike = np.float32) -> dict[str, NDArray[Any]]:
        """`array` of all tensors by name, the largest first and `threads` at a time (by default one a core)."""
        order = sorted(self._tensors, key=lambda name: -self._tensors[name].count)
        with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
            decoded = dict(zip(order, pool.map(lambda name: self.array(name, dtype), order), strict=True))
        return {name: decoded[name] for name in self._tensors}

    def verify(self) -> None:
        """Check the checksum of every section, without decoding. Raises CorruptFileError naming the first bad one."""
        workspace = new_workspace()
        for tensor in self._tensors.values():
            check_section(self._opened, tensor, workspace)

    def close(self) -> None:
        """Close the file. Nothing can be decoded any more; decoded arrays stay valid."""
        self._tensors = {}
        self._opened = Opened(b"", None, [], 0)
