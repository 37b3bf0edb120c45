"""Integers in, bytes out, and back: the `.bpz` format of FORMAT.md. Needs numpy and the C core, never torch."""

from __future__ import annotations

from .decode import decode
from .encode import encode
from .layout import FileLayout, TensorLayout, layout
from .tensor import Codebook, Grid, QuantizedTensor, RawTensor, Tensor

__all__ = [
    "Codebook",
    "FileLayout",
    "Grid",
    "QuantizedTensor",
    "RawTensor",
    "Tensor",
    "TensorLayout",
    "decode",
    "encode",
    "layout",
]
