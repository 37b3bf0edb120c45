"""Binary search for the first operator whose values in another runtime differ from PyTorch's.

A prefix of an exported program, with the output of one of its operators as its result, is a program too. It can be
exported to ONNX or compiled like the whole program. The search needs about log2(number of operators) such trials. It
runs only after a failed build, and under a time limit.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ...errors import CheckFailedError
from ...optional import require
from ..program.onnx_optimise import quiet_exporters
from ..verify.tolerance import Floats, allowed_difference, deviation

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

_SECONDS = 60.0

MakeRun: TypeAlias = "Callable[[ExportedProgram], Callable[[Floats], Floats]]"


def first_wrong_operator(program: ExportedProgram, example: Floats, make_run: MakeRun) -> str | None:
    """The first operator whose output differs, as "aten.avg_pool2d of the layer pool"; None if it is not found.

    example   one golden input with a batch axis of 1, for which the outputs of the whole program differ
    make_run  exports or compiles a program and returns a function that runs it on examples
    """
    deadline = time.monotonic() + _SECONDS
    try:
        with quiet_exporters():
            module: GraphModule = program.module(check_guards=False)
            nodes: list[Node] = list(module.graph.nodes)
            names = [node.name for node in nodes if _gives_floats(node)]
            low, high = 0, len(names) - 1  # the wrong operator is in names[low : high + 1]
            while low < high:
                middle = (low + high) // 2
                if time.monotonic() > deadline:
                    return None
                if _differs(module, names[middle], example, make_run):
                    high = middle
                else:
                    low = middle + 1
        return _described(next(node for node in nodes if node.name == names[low])) if names else None
    except Exception:  # an exporter may refuse a prefix; the failure of the build is reported in any case
        return None


def _gives_floats(node: Node) -> bool:
    require("torch")
    import torch

    value = node.meta.get("val")
    return (
        node.op == "call_function" and isinstance(value, torch.Tensor) and value.dtype == torch.float32
        and value.ndim > 0 and value.shape[0] == 1 and value.numel() > 0
    )  # fmt: skip


def _differs(module: GraphModule, name: str, example: Floats, make_run: MakeRun) -> bool:
    require("torch")
    import torch

    prefix = copy.deepcopy(module)
    graph = prefix.graph
    graph.set_codegen(torch.fx.graph.CodeGen())
    nodes: list[Node] = list(graph.nodes)
    output = next(node for node in nodes if node.op == "output")
    last = next(node for node in nodes if node.name == name)
    with graph.inserting_before(output):
        graph.output(last)
    graph.erase_node(output)
    graph.eliminate_dead_code()
    prefix.recompile()
    prefix._forward_pre_hooks.clear()
    prefix.delete_all_unused_submodules()
    tensor = torch.from_numpy(np.array(example))
    with torch.no_grad():
        result: Tensor = prefix(tensor)
        expected: Floats = result.numpy()
        program = torch.export.export(prefix, (tensor,))
    if not np.isfinite(expected).all():
        return False
    allowed = allowed_difference(prefix, example, expected)
    try:
        outputs = make_run(program)(example)
    except CheckFailedError:  # the runtime failed, as it may have failed for the whole program
        return True
    return outputs.size != expected.size or not deviation(outputs, expected, allowed).passed


def _described(node: Node) -> str:
    operator = str(node.target).removesuffix(".default")
    layers = list((node.meta.get("nn_module_stack") or {}).values())
    layer = str(layers[-1][0]).rpartition(".")[2] if layers else ""
    path = str(layers[-1][0]).removeprefix("L['self'].") if layers else ""
    return f"{operator} of the layer {path}" if layer and path != "L['self']" else operator
