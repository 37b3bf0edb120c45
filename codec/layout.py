"""Where the bytes of a file are, by tensor and by stream; every byte is counted once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ._bpz import lib
from .csr import EntryLayout
from .native import kind_of, name_of, new_workspace, open_file, read_array, read_bit_usage, shape_of

STREAMS = ("frame", "name", "shape", "map", "masks", "tables", "rows", "indices", "values", "padding")
CONTAINER = "container"
_KINDS = {
    lib.BPZ_KIND_RAW: "raw",
    lib.BPZ_KIND_GRID: "grid",
    lib.BPZ_KIND_CODEBOOK: "codebook",
    lib.BPZ_KIND_MINIFLOAT: "minifloat",
}
_STORED = {
    lib.BPZ_STORED_FLOAT32: "float32",
    lib.BPZ_STORED_FLOAT16: "float16",
    lib.BPZ_STORED_BFLOAT16: "bfloat16",
    lib.BPZ_STORED_INT8: "int8",
}


@dataclass(frozen=True)
class TensorLayout:
    """The directory entry and the section of one tensor.

    kind        "raw", with what the values are stored as behind it, "grid", "codebook" or "minifloat"
    index_bits  width of the index numbers; None where there are none
    step        of a grid, else None
    entries     "dense", "by row", "running", "adaptive" or "adaptive gaps"; None where nothing is stored, or raw values
    streams     bytes of each stream, in STREAMS' order; a bit is an eighth
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    count: int
    nonzero: int
    index_bits: int | None
    step: float | None
    entries: str | None
    streams: dict[str, float]

    @property
    def bytes(self) -> float:
        """The bytes of entry and section."""
        return sum(self.streams.values())


@dataclass(frozen=True)
class FileLayout:
    """A whole file; `size` is in bytes."""

    size: int
    tensors: tuple[TensorLayout, ...]

    @property
    def container_bytes(self) -> float:
        """Bytes that belong to no tensor: magic, version, number of tensors, and a checksum."""
        return self.size - sum(tensor.bytes for tensor in self.tensors)

    def by_stream(self) -> dict[str, float]:
        """Bytes of each stream over all tensors; they sum to `size`."""
        total = {CONTAINER: self.container_bytes}
        for stream in STREAMS:
            total[stream] = sum(tensor.streams[stream] for tensor in self.tensors)
        return total

    def as_dict(self) -> dict[str, Any]:
        """The same as plain types, for JSON."""
        tensors = [asdict(tensor) | {"bytes": tensor.bytes} for tensor in self.tensors]
        return {"size": self.size, "by_stream": self.by_stream(), "tensors": tensors}


def layout(data: bytes, *, max_elements: int | None = None) -> FileLayout:
    """Where the bytes of a `.bpz` file are. Decodes the file; raises what `decode` raises."""
    opened = open_file(data, max_elements)
    workspace = new_workspace()
    tensors = []
    for tensor in opened.tensors:
        described = kind_of(opened, tensor, workspace)
        kind = _KINDS[described.kind]
        bit_usage = read_bit_usage(opened, tensor, workspace)
        if kind == "raw":
            read_array(opened, tensor, workspace)  # counts no bits, but checks the values
        tensors.append(
            TensorLayout(
                name=name_of(tensor),
                shape=shape_of(tensor),
                kind=f"raw {_STORED[described.storage]}" if kind == "raw" else kind,
                count=tensor.count,
                nonzero=tensor.nonzero,
                index_bits=bit_usage.index_bits or None,
                step=described.step if kind == "grid" else None,
                entries=_entries(bit_usage) if kind != "raw" and tensor.nonzero else None,
                streams={stream: getattr(bit_usage, stream) / 8 for stream in STREAMS},
            )
        )
    return FileLayout(len(opened.data), tuple(tensors))


def _entries(bit_usage: Any) -> str:
    return EntryLayout(bit_usage.layout).name.lower().replace("_", " ")
