"""What torch.onnx.export does to a graph by itself, for a graph whose weights came in later.

A bundle's graph.onnx takes its weights as inputs, so nothing of it can be folded. Once the weights of the `.bpz` stand
in it as initializers, it gets the same two passes of onnxscript that `torch.onnx.export(..., dynamo=True)` ends with:
constants and shapes are folded, and batch norms go into the convolutions before them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ...optional import require
from .onnx_clamps import join_clamps

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto


def optimised(model: ModelProto) -> ModelProto:
    """The ONNX model, all weights initializers, as torch.onnx.export would have written it; `model` stays as it is."""
    joined = type(model)()
    joined.CopyFrom(model)
    join_clamps(joined.graph)
    require("onnxscript")
    from onnxscript import optimizer, rewriter

    inputs = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    with quiet_exporters():
        folded = rewriter.rewrite(optimizer.optimize(joined, onnx_shape_inference=True))
    if [value.name for value in folded.graph.input] != inputs or [
        value.name for value in folded.graph.output
    ] != outputs:
        raise RuntimeError("onnxscript renamed an input or an output of the graph")
    for node in folded.graph.node:
        del node.metadata_props[:]  # notes of the optimiser on what it made from what
    del folded.graph.value_info[:]
    return folded


def rename_values(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename values of an ONNX graph and of the graphs inside its nodes, in place.

    A value that has one of the new names already, and is not renamed itself, gets a name of its own.
    """
    taken = {new for old, new in names.items() if old != new}

    def named(name: str) -> str:
        return names.get(name, f"value:{name}" if name in taken else name)

    values: tuple[ValueInfoProto | TensorProto, ...] = (
        *graph.input,
        *graph.output,
        *graph.initializer,
        *graph.value_info,
    )
    for each in values:
        each.name = named(each.name)
    for node in graph.node:
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
        for attribute in node.attribute:
            own = [attribute.g] if attribute.HasField("g") else []
            for inner in (*own, *attribute.graphs):
                rename_values(inner, names)


@contextlib.contextmanager
def quiet_exporters() -> Iterator[None]:
    """Silence exporters' notices about operator versions and tree types."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
