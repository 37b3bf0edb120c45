"""Clamps of an ONNX graph: each chain of minima, maxima and rectifiers with known bounds as one operator.

The rules of onnxscript that do this name the bounds after the value that is clamped. Two clamps of one value then have
bounds of one name, of which only one is kept, and the graph is no longer sound.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...optional import require

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


@dataclass(frozen=True)
class _Clamp:
    """min(max(x, low), high), and the nodes that compute it; `dtype` is None where no bound has one."""

    source: str
    low: float
    high: float
    dtype: np.dtype[np.generic] | None
    nodes: tuple[NodeProto, ...]

    def after(self, first: _Clamp) -> _Clamp:
        """The clamp of a clamp: its bounds are the first one's bounds, clamped."""
        low, high = (min(max(bound, self.low), self.high) for bound in (first.low, first.high))
        return _Clamp(first.source, low, high, first.dtype or self.dtype, (*first.nodes, *self.nodes))


def join_clamps(graph: GraphProto) -> None:
    """Replace the chains in an ONNX graph, in place; a result within a chain that is used elsewhere ends it."""
    require("onnx")
    import onnx

    scalars = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer if not len(tensor.dims)}
    uses = Counter([name for node in graph.node for name in node.input] + [value.name for value in graph.output])
    found: dict[str, _Clamp] = {}
    for node in graph.node:
        clamp = _clamp_of(node, scalars)
        if clamp is None:
            continue
        if clamp.source in found and uses[clamp.source] == 1:
            clamp = clamp.after(found.pop(clamp.source))
        found[node.output[0]] = clamp
    for output, clamp in found.items():
        if len(clamp.nodes) > 1 and clamp.dtype is not None:
            _write(graph, output, clamp)


def _clamp_of(node: NodeProto, scalars: dict[str, npt.NDArray[np.generic]]) -> _Clamp | None:
    if node.op_type == "Relu":
        return _Clamp(node.input[0], 0.0, math.inf, None, (node,))
    if node.op_type not in ("Max", "Min") or len(node.input) != 2:
        return None
    known = [name for name in node.input if name in scalars]
    if len(known) != 1:
        return None
    bound = scalars[known[0]]
    source = next(name for name in node.input if name != known[0])
    if bound != bound:  # NaN
        return None
    low, high = (bound.item(), math.inf) if node.op_type == "Max" else (-math.inf, bound.item())
    return _Clamp(source, low, high, bound.dtype, (node,))


def _write(graph: GraphProto, output: str, clamp: _Clamp) -> None:
    """Put one Clip in the place of the last node of the chain, and take the others out."""
    import onnx

    inputs = [clamp.source]
    for name, bound in (("low", clamp.low), ("high", clamp.high)):
        if math.isinf(bound):
            inputs.append("")
            continue
        inputs.append(f"{output}:{name}")
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(bound, clamp.dtype), inputs[-1]))
    made = onnx.helper.make_node("Clip", inputs, [output], name=clamp.nodes[-1].name)
    *before, last = clamp.nodes
    last.CopyFrom(made)
    for node in before:
        graph.node.remove(node)
