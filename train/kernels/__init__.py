"""Compiled inner loops of training, for float32 tensors in main memory; see kl.h."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._kl import ffi, lib

__all__ = ["ffi", "floats", "lib", "takes"]


def takes(*tensors: Tensor) -> bool:
    """Whether the compiled loops can run over these: contiguous float32 in main memory, not traced by torch.compile."""
    return not torch.compiler.is_compiling() and all(
        t.dtype == torch.float32 and t.device.type == "cpu" and t.is_contiguous() for t in tensors
    )


def floats(tensor: Tensor) -> Any:
    """Where the elements of such a tensor begin, as C takes it."""
    return ffi.cast("float *", tensor.data_ptr())
