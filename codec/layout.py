"""Where each byte of a `.bpz` file goes, by tensor and by stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import reference
from .tensor import Grid, QuantizedTensor

STREAMS = ("names", "shapes", "value maps", "masks", "code tables", "row pointers", "column indices", "values", "padding")


@dataclass(frozen=True)
class TensorLayout:
    """One tensor: its shape and kind, and its bits by stream (see STREAMS)."""

    name: str
    shape: tuple[int, ...]
    kind: str
    count: int
    nonzero: int
    step: float | None
    codebook_size: int | None
    index_bits: int
    bits: Mapping[str, int]

    @property
    def bytes(self) -> float:
        """What the tensor takes of the file."""
        return sum(self.bits.values()) / 8


@dataclass(frozen=True)
class FileLayout:
    """A whole file; `overhead` is the magic, the tensor count and the checksum, in bytes."""

    size: int
    overhead: int
    tensors: tuple[TensorLayout, ...]

    def by_stream(self) -> dict[str, float]:
        """Bytes of each kind of stream over all tensors, the file's own overhead included; they add up to `size`."""
        total = Counter[str]()
        for tensor in self.tensors:
            total.update(tensor.bits)
        return {"file": float(self.overhead)} | {name: total[name] / 8 for name in STREAMS}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "size": self.size,
            "streams": self.by_stream(),
            "tensors": [
                {
                    "name": t.name, "shape": list(t.shape), "kind": t.kind, "count": t.count, "nonzero": t.nonzero,
                    "step": t.step, "codebook_size": t.codebook_size, "index_bits": t.index_bits,
                    "bytes": t.bytes, "bits": {name: t.bits.get(name, 0) for name in STREAMS},
                }
                for t in self.tensors
            ],
        }  # fmt: skip


def layout(data: bytes) -> FileLayout:
    """Account for every byte of a `.bpz` file, by the reference decoder. Raises what codec.decode raises."""
    tensors = []
    for read in reference.read_file(data):
        tensor = read.tensor
        quantized = isinstance(tensor, QuantizedTensor)
        value_map = tensor.value_map if isinstance(tensor, QuantizedTensor) else None
        values = tensor.levels if isinstance(tensor, QuantizedTensor) else tensor.array
        tensors.append(
            TensorLayout(
                name=tensor.name,
                shape=tensor.shape,
                kind="raw" if not quantized else "grid" if isinstance(value_map, Grid) else "codebook",
                count=values.size,
                nonzero=int(np.count_nonzero(values)),
                step=value_map.step if isinstance(value_map, Grid) else None,
                codebook_size=None if value_map is None or isinstance(value_map, Grid) else len(value_map.values),
                index_bits=read.index_bits,
                bits=dict(read.spent),
            )
        )
    used = sum(sum(tensor.bits.values()) for tensor in tensors)
    return FileLayout(len(data), len(data) - used // 8, tuple(tensors))
