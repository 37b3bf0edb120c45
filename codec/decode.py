"""The decoder: the C library does the work."""

from __future__ import annotations

from .native import new_workspace, open_file, read_tensor
from .tensor import Tensor


def decode(data: bytes, *, max_elements: int | None = None) -> list[Tensor]:
    """The tensors of a `.bpz` file, in file order, with exactly the levels and maps that were encoded.

    max_elements  refuse a file whose tensors have more elements together, before memory is set aside;
                  by default 2^24 and 4096 for each byte of the file, far beyond what trained networks reach

    Raises CorruptFileError when a byte was changed, cut or added, or the fields contradict each other, and
    InputError when the limit is exceeded.
    """
    opened = open_file(data, max_elements)
    workspace = new_workspace()
    return [read_tensor(opened, tensor, workspace) for tensor in opened.tensors]
