"""Which operators are refused before anything is rewritten, and the one sentence that names them with their modules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, fx
from torch.export.graph_signature import ExportGraphSignature

from ....errors import InputError
from ....text import printable

NAMED = 4  # refused operators, and modules of each, that a message names before it only counts


def place_of(node: fx.Node) -> str:
    """The module of the network that a node comes from."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = next(reversed(stack.values()), ("", ""))[:2] if stack else ("", "")
    if not kind:
        return "the network"
    kind = kind if isinstance(kind, str) else kind.__name__
    return f"{printable(path) or 'the network itself'} ({printable(kind.rpartition('.')[2])})"


def name_of(node: fx.Node) -> str:
    """The operator of a node with its overload, as the table has it."""
    if isinstance(node.target, torch._ops.OpOverload):
        space, name = str(node.target._name).split("::")
        overload = node.target._overloadname
        name = name.partition(".")[0]
        return f"{name}.{overload}" if space == "aten" else f"{space}::{name}.{overload}"
    return str(getattr(node.target, "__name__", node.target))


def written_name(node: fx.Node) -> str:
    """The operator that a node was made of, before it was taken apart."""
    original = node.meta.get("original_aten")
    if not isinstance(original, torch._ops.OpOverload):
        return name_of(node)
    name = str(original._name).removeprefix("aten::")
    return name if "." in name else f"{name}.default"


def refuse_unknown(graph: fx.Graph) -> None:
    """Refuse what no decomposition can help, in the words of the network as it was written."""
    found = []
    nodes: Iterable[fx.Node] = graph.nodes
    for node in nodes:
        if node.op == "get_attr":
            continue
        if node.op == "call_function":
            name = name_of(node)
            if isinstance(node.target, torch._ops.HigherOrderOperator):
                found.append((name, node, "chooses its way while it runs"))
            elif (
                isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags
            ):
                if not _inactive_dropout(node):
                    found.append((name, node, "draws random numbers"))
            elif any(_complex(each) for each in results_of(node)):
                found.append((name, node, "computes with complex numbers"))
        if any(_dynamic(each) for each in results_of(node)):
            if node.op == "placeholder":
                raise InputError(f"The network's input has shape {tuple(node.meta['val'].shape)}, which is not fixed; "
                                 "export it for one shape.")  # fmt: skip
            if not any(_dynamic(each) for before in node.all_input_nodes for each in results_of(before)):
                found.append((name_of(node), node, "gives a shape or number that is not fixed"))
    refuse(found)


def _inactive_dropout(node: fx.Node) -> bool:
    """Whether an operator that could draw random numbers is in evaluation mode, where it draws none."""
    training = {"dropout": 2, "alpha_dropout": 2, "feature_dropout": 2, "feature_alpha_dropout": 2, "native_dropout": 2}
    name = name_of(node).partition(".")[0]
    if name in training:
        place = training[name]
        given = (
            node.args[place] if len(node.args) > place else node.kwargs.get("train", node.kwargs.get("training", True))
        )
        return not given
    if name == "scaled_dot_product_attention":
        return bool((node.args[4] if len(node.args) > 4 else node.kwargs.get("dropout_p", 0.0)) == 0.0)
    if name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        return True  # their dropout follows the mode of the module, which is evaluation
    return name == "rrelu" and not bool(node.args[3] if len(node.args) > 3 else node.kwargs.get("training", False))


def results_of(node: fx.Node) -> list[object]:
    """PyTorch's descriptions of all that a node gives."""
    value = node.meta.get("val")
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _complex(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_complex()


def _dynamic(value: object) -> bool:
    if isinstance(value, Tensor):
        return any(not isinstance(extent, int) for extent in value.shape)
    return isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool))


def check_one_of_each(signature: ExportGraphSignature) -> None:
    """See that a program takes one tensor and gives one. Raises InputError otherwise."""
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1:
        raise InputError(
            f"The network has {len(signature.user_inputs)} inputs and {len(signature.user_outputs)} outputs; "
            "one of each is supported."
        )


def refuse(found: Sequence[tuple[str, fx.Node, str]]) -> None:
    """Raise InputError, one sentence on all operators (name, node, what is wrong with it), unless there are none."""
    if not found:
        return
    places: dict[tuple[str, str], dict[str, None]] = {}
    for name, node, why in found:
        places.setdefault((name, why), {})[place_of(node)] = None
    parts = [
        f"{printable(name)} in {' and '.join(_first(list(where), '{} more modules'))} {why}"
        for (name, why), where in places.items()
    ]
    raise InputError(
        f"Operators of the network cannot be compiled: {'; '.join(_first(parts, 'and {} more'))}; replace them "
        "(docs/OPERATORS.md lists those that are supported)."
    )


def _first(texts: list[str], more: str) -> list[str]:
    """The first texts, and how many more there are, in the words of `more`."""
    return texts if len(texts) <= NAMED else [*texts[:NAMED], more.format(len(texts) - NAMED)]
