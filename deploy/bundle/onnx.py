"""A full ONNX model: the graph of a bundle with the weights that its `.bpz` decodes to."""

from __future__ import annotations

from pathlib import Path

from ... import codec
from ...errors import InputError
from ...packed_format import NETWORK, WEIGHTS
from ..program.export import fill_weights, load_program, onnx_graph
from .format import GRAPH, opened


def bundled_onnx(path: Path) -> bytes:
    """A full ONNX model of a bundle (folder or zip) or of a packed directory, with the weights as they decode."""
    if (path / NETWORK).is_file():
        graph, data = onnx_graph(load_program(path / NETWORK)), (path / WEIGHTS).read_bytes()
    elif path.suffix == ".bpz":
        raise InputError(f"{path} holds weights and no graph; give the bundle or the packed directory for ONNX.")
    else:
        with opened(path) as bundle:
            graph, data = bundle.read(GRAPH), bundle.read(WEIGHTS)
    return fill_weights(graph, {tensor.name: tensor.values() for tensor in codec.decode(data)})
