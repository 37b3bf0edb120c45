"""Export of a complete ONNX model: the graph of a bundle with the weights decoded from its `.bpz`."""

from __future__ import annotations

from pathlib import Path

from ... import codec
from ...errors import InputError
from ...packed_format import NETWORK, WEIGHTS
from ..program.export import fill_weights, load_program, onnx_graph
from .format import GRAPH, opened


def bundled_onnx(path: Path) -> bytes:
    """The serialized ONNX model of a bundle (folder or zip) or of a packed directory, with decoded weights."""
    if (path / NETWORK).is_file():
        graph, data = onnx_graph(load_program(path / NETWORK)), (path / WEIGHTS).read_bytes()
    elif path.suffix == ".bpz":
        raise InputError(f"{path} holds only weights and no graph; give the bundle or the packed directory for ONNX.")
    else:
        with opened(path) as bundle:
            graph, data = bundle.read(GRAPH), bundle.read(WEIGHTS)
    return fill_weights(graph, {tensor.name: tensor.values() for tensor in codec.decode(data)})
