"""From a torch.export program to its normal form, operator by operator."""

from __future__ import annotations

import copy
import re
import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.export.graph_signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)

from ...errors import BayespressError, InputError, reason_of
from ...text import printable
from . import elementwise, indexing, layers, reductions, resampling, shapes
from .errors import RefusedError
from .rewriter import HALVES, TYPES, Rewriter, Value
from .table import TABLE, Operator

RULES = (elementwise, indexing, layers, reductions, resampling, shapes)

# What torch.export leaves behind for its own checks; nothing of it computes.
_CHECKS = (
    "_assert_tensor_metadata",
    "_assert_async",
    "_assert_scalar",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
)
_ODD = re.compile(r"[^A-Za-z0-9_]+")
# A name's length that C compilers and linkers all take, with what is put before and behind it.
_LONGEST = 40
_TOLD = 4  # refused operators that a message names


@dataclass(frozen=True)
class Normalised:
    """A program in normal form.

    program  a torch.export program of the operators in docs/OPERATORS.md alone. Its weights' state-dict names are
             those of the graph's inputs, which are C identifiers
    names    the weights' names in the original network by these, in the order of the original program
    """

    program: Any
    names: Mapping[str, str]


_MADE: weakref.WeakKeyDictionary[Any, Normalised] = weakref.WeakKeyDictionary()


def normalised(program: Any) -> Normalised:
    """The equivalent program in normal form; made once for each program, which every target then compiles.

    Operators that the table lacks, or that do not meet its conditions, are refused: raises InputError, which names
    each of them with the modules that it stands in.
    """
    if program in _MADE:
        return _MADE[program]
    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1:
        raise InputError(
            f"The network has {len(signature.user_inputs)} inputs and {len(signature.user_outputs)} outputs; "
            "one of each is supported."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            renamed, names = _with_plain_names(program)
            _refuse_unknown(renamed.graph)
            decomposed = _decomposed(renamed)
            made = _MADE[program] = Normalised(_Walk(decomposed, names).result(), names)
            return made
    except BayespressError:
        raise
    except Exception as error:
        # torch.export's passes raise dozens of types; all mean that this graph is beyond them.
        calls = [node for node in program.graph.nodes if node.op == "call_function"]
        unlisted = dict.fromkeys(name for name in map(_name_of, calls) if name not in TABLE)
        which = ", ".join(printable(name) for name in [*unlisted][:_TOLD]) or "the operator that it names"
        raise InputError(
            f"PyTorch cannot take the exported network apart ({type(error).__name__}: {reason_of(error)}); "
            f"replace {which} (docs/OPERATORS.md lists those that are supported)."
        ) from error


# -- names --


def _with_plain_names(program: Any) -> tuple[Any, dict[str, str]]:
    """The program with state-dict names that PyTorch can write as Python and everyone as C, and the original ones.

    PyTorch writes `self.for.weight` for a module named `for`, which is no Python.
    """
    graph = copy.deepcopy(program.graph_module)
    # A copy gives other names to nodes that are called like a function of Python, `input` for instance.
    copied = {old.name: new.name for old, new in zip(program.graph.nodes, graph.graph.nodes, strict=True)}
    used: set[str] = set()
    plain: dict[str, str] = {}
    specs, names = [], {}
    for spec in program.graph_signature.input_specs:
        target = spec.target
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            plain[target] = _plain("p" if spec.kind is InputKind.PARAMETER else "k", target, used)
            if spec.kind is InputKind.PARAMETER:
                names[plain[target]] = target
            target = plain[target]
        elif spec.kind is not InputKind.USER_INPUT:
            raise InputError(
                f"The network takes a {spec.kind.name.lower().replace('_', ' ')}; only tensors are supported."
            )
        specs.append(InputSpec(spec.kind, _renamed(spec.arg, copied), target, spec.persistent))
    outputs = []
    for output in program.graph_signature.output_specs:
        if output.kind in (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION):
            raise InputError(f"The network changes its {printable(output.target)} while it runs; "
                             "a compiled network has no state, so return the result instead.")  # fmt: skip
        outputs.append(OutputSpec(output.kind, _renamed(output.arg, copied), plain.get(output.target, output.target)))
    for name in [name for name, _ in program.graph_module.named_children() if name in plain]:
        delattr(graph, name)
    made = torch.export.ExportedProgram(
        root=graph,
        graph=graph.graph,
        graph_signature=ExportGraphSignature(specs, outputs),
        state_dict={plain.get(name, name): value for name, value in program.state_dict.items()},
        range_constraints={},
        module_call_graph=program.module_call_graph[:1],
        example_inputs=None,
        constants={plain.get(name, name): value for name, value in program.constants.items()},
        verifiers=program.verifiers,
    )
    return made, names


def _renamed(argument: Any, names: Mapping[str, str]) -> Any:
    """An argument of a signature after its graph was copied."""
    made = copy.copy(argument)
    if isinstance(getattr(made, "name", None), str):
        made.name = names.get(made.name, made.name)
    return made


def _plain(kind: str, name: str, used: set[str]) -> str:
    """A C identifier that nobody else has; what layers.py takes apart is the beginning and `_weight` at the end."""
    stem, dot, role = name.rpartition(".")
    role = _ODD.sub("_", role)[:_LONGEST]
    head = _ODD.sub("_", stem)[-_LONGEST:]
    base = f"{kind}_{head}_{role}" if dot else f"{kind}_{role}"
    found, number = base, 0
    while found in used:
        number += 1
        found = f"{kind}_{head}_{number}_{role}" if dot else f"{kind}_{number}_{role}"
    used.add(found)
    return found


# -- before the walk --


def _places(node: fx.Node) -> str:
    """The module of the network that a node comes from."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = next(reversed(stack.values()), ("", ""))[:2] if stack else ("", "")
    if not kind:
        return "the network"
    kind = kind if isinstance(kind, str) else kind.__name__
    return f"{printable(path) or 'the network itself'} ({printable(kind.rpartition('.')[2])})"


def _name_of(node: fx.Node) -> str:
    if isinstance(node.target, torch._ops.OpOverload):
        space, name = str(node.target._name).split("::")
        overload = node.target._overloadname
        name = name.partition(".")[0]
        return f"{name}.{overload}" if space == "aten" else f"{space}::{name}.{overload}"
    return str(getattr(node.target, "__name__", node.target))


def _written(node: fx.Node) -> str:
    """The operator that a node was made of, before it was taken apart."""
    original = node.meta.get("original_aten")
    if not isinstance(original, torch._ops.OpOverload):
        return _name_of(node)
    name = str(original._name).removeprefix("aten::")
    return name if "." in name else f"{name}.default"


def _refuse_unknown(graph: fx.Graph) -> None:
    """Refuse what no decomposition can help, in the words of the network as it was written."""
    found = []
    for node in graph.nodes:
        if node.op == "get_attr":
            continue
        if node.op == "call_function":
            name = _name_of(node)
            if isinstance(node.target, torch._ops.HigherOrderOperator):
                found.append((name, node, "chooses its way while it runs"))
            elif (
                isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags
            ):
                if not _inactive_dropout(node):
                    found.append((name, node, "draws random numbers"))
            elif any(_complex(each) for each in _results(node)):
                found.append((name, node, "computes with complex numbers"))
        if any(_dynamic(each) for each in _results(node)):
            if node.op == "placeholder":
                raise InputError(f"The network's input has shape {tuple(node.meta['val'].shape)}, which is not fixed; "
                                 "export it for one shape.")  # fmt: skip
            if not any(_dynamic(each) for before in node.all_input_nodes for each in _results(before)):
                found.append((_name_of(node), node, "gives a shape or number that is not fixed"))
    _refuse(found)


def _inactive_dropout(node: fx.Node) -> bool:
    training = {"dropout": 2, "alpha_dropout": 2, "feature_dropout": 2, "feature_alpha_dropout": 2, "native_dropout": 2}
    name = _name_of(node).partition(".")[0]
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


def _results(node: fx.Node) -> list[Any]:
    value = node.meta.get("val")
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _complex(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_complex()


def _dynamic(value: Any) -> bool:
    if isinstance(value, Tensor):
        return any(not isinstance(extent, int) for extent in value.shape)
    return isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool))


def _refuse(found: Sequence[tuple[str, fx.Node, str]]) -> None:
    """One sentence on all operators that are refused."""
    if not found:
        return
    places: dict[tuple[str, str], dict[str, None]] = {}
    for name, node, why in found:
        places.setdefault((name, why), {})[_places(node)] = None
    parts = [f"{printable(name)} in {' and '.join(where)} {why}" for (name, why), where in places.items()]
    if len(parts) > _TOLD:
        parts = [*parts[:_TOLD], f"and {len(parts) - _TOLD} more"]
    raise InputError(
        f"Operators of the network cannot be compiled: {'; '.join(parts)}; replace them "
        "(docs/OPERATORS.md lists those that are supported)."
    )


def _decomposed(program: Any) -> Any:
    """The program with operators that the table lacks taken apart by PyTorch, and nothing done in place."""
    table = torch.export.default_decompositions()
    known = {_operator(name) for name in TABLE} - {None}
    for operator in known:
        table.pop(operator, None)  # type: ignore[no-untyped-call]
    program = program.run_decompositions(table)
    # Once more with all that PyTorch has, for what its default leaves whole.
    from torch._decomp import decomposition_table

    left = {
        node.target for node in program.graph.nodes
        if node.op == "call_function" and node.target not in known and node.target in decomposition_table
    }  # fmt: skip
    if left:
        for operator in left:
            table[operator] = decomposition_table[operator]
        program = program.run_decompositions(table)
    return program


def _operator(name: str) -> Any:
    packet, _, overload = name.partition(".")
    found = getattr(torch.ops.aten, packet, None)
    return getattr(found, overload, None) if found is not None and overload else None


# -- the walk --


class _Walk:
    """Rewrites a program in which nothing is done in place."""

    def __init__(self, program: Any, names: Mapping[str, str]) -> None:
        self.program, self.names = program, names
        self.stage = Rewriter()
        self.values: dict[fx.Node, Any] = {}
        self.refused: list[tuple[str, fx.Node, str]] = []
        self.specs: list[InputSpec] = []

    def result(self) -> Any:
        """The program in normal form."""
        self._inputs()
        output: fx.Node | None = None
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op == "get_attr":
                self.values[node] = _attribute(self.program.graph_module, node.target)
            elif node.op == "output":
                output = node
        _refuse(self.refused)
        if output is None:
            raise ValueError("the graph has no output")
        self._output(output)
        return self._program()

    def _inputs(self) -> None:
        signature = self.program.graph_signature
        nodes = {node.name: node for node in self.program.graph.nodes if node.op == "placeholder"}
        user: InputSpec | None = None
        for spec in signature.input_specs:
            node = nodes[spec.arg.name]
            if spec.kind is InputKind.PARAMETER:
                weight = self.program.state_dict[spec.target]
                original = printable(self.names[spec.target])
                if weight.dtype != torch.float32:
                    raise InputError(f"{original} is of type {_type(weight.dtype)}, and weights have to be float32; "
                                     "convert the network with .float().")  # fmt: skip
                made = self.stage.placeholder(spec.target, weight.shape, weight.dtype)
                self.values[node] = made
                self.specs.append(InputSpec(InputKind.PARAMETER, TensorArgument(spec.target), spec.target))
            elif spec.kind is InputKind.USER_INPUT:
                user = spec
            else:
                held = (
                    self.program.constants
                    if spec.kind is InputKind.CONSTANT_TENSOR or not spec.persistent
                    else (self.program.state_dict)
                )
                self.values[node] = _constant(held[spec.target])
        if user is None or isinstance(user.arg, ConstantArgument):
            raise InputError("The network takes no tensor; give it one input.")
        node = nodes[user.arg.name]
        value = node.meta["val"]
        if value.dtype != torch.float32:
            raise InputError(f"The network's input is of type {_type(value.dtype)}, and it has to be float32; "
                             "convert it in the network's forward.")  # fmt: skip
        self.values[node] = self.stage.placeholder("input_0", value.shape, value.dtype, last=True)

    def _call(self, node: fx.Node) -> None:
        name = _name_of(node)
        if name.partition(".")[0] in _CHECKS:
            return
        if any(self._broken(each) for each in node.all_input_nodes):
            if name not in TABLE:
                self.refused.append((_written(node), node, "is not supported"))
            return
        try:
            self.values[node] = self._rewritten(node, name)
        except RefusedError as error:
            self.refused.append((name if name in TABLE else _written(node), node, str(error)))
        except (BayespressError, KeyboardInterrupt):
            raise
        except Exception as error:
            # A rule that meets arguments which it was not written for; what it says is all that is known.
            self.refused.append((name, node, f"is called in a way that is not supported ({reason_of(error)})"))

    def _broken(self, node: fx.Node) -> bool:
        return node.op == "call_function" and node not in self.values

    def _rewritten(self, node: fx.Node, name: str) -> Any:
        entry = TABLE.get(name)
        if entry is None:
            raise RefusedError("is not supported")
        result = node.meta.get("val")
        inputs = [value for each in node.all_input_nodes for value in _results(each) if isinstance(value, Tensor)]
        outputs = [value for value in _results(node) if isinstance(value, Tensor)]
        for value in (*inputs, *outputs):
            if value.dtype not in (*TYPES, *HALVES):
                raise RefusedError(f"computes in {_type(value.dtype)}")
        halves = {value.dtype for value in outputs if value.dtype in HALVES}
        if not entry.half and (halves or any(value.dtype in HALVES for value in inputs)):
            kind = next(iter(halves | {value.dtype for value in inputs if value.dtype in HALVES}))
            raise RefusedError(f"computes in {_type(kind)}, in which it is not exact; convert to float32 before it")
        stage = self.stage
        stage.operator, stage.result, stage.meta = node.target, result, _meta(node)
        stage.original_contiguous = not inputs or inputs[0].is_contiguous()
        arguments, options = fx.node.map_arg((node.args, node.kwargs), lambda each: self.values[each])
        found = entry.rule(stage, *arguments, **options)
        return self._checked(found, result, entry)

    def _checked(self, found: Any, result: Any, entry: Operator) -> Any:
        """The result in the type that PyTorch gives it, and of its shape."""
        if isinstance(found, (list, tuple)):
            expected = list(result) if isinstance(result, (list, tuple)) else [None] * len(found)
            return [None if each is None else self._checked(each, want, entry)
                    for each, want in zip(found, expected, strict=False)]  # fmt: skip
        if isinstance(result, (list, tuple)):
            return [self._checked(found, result[0], entry)]
        if not isinstance(result, Tensor):
            return found
        if self.stage.shape(found) != tuple(result.shape):
            raise RefusedError(f"would give shape {self.stage.shape(found)} instead of {tuple(result.shape)}")
        if result.dtype in HALVES:
            known = entry.name in ("_to_copy.default", "to.dtype") or not _computes(entry)
            return found if known else self.stage.rounded(self.stage.cast(found, torch.float32), result.dtype)
        return self.stage.cast(found, result.dtype)

    def _output(self, node: fx.Node) -> None:
        signature = self.program.graph_signature
        flat: Any = node.args[0]
        wanted = [
            argument for argument, spec in zip(flat, signature.output_specs, strict=True)
            if spec.kind is OutputKind.USER_OUTPUT
        ]  # fmt: skip
        if len(wanted) != 1 or not isinstance(wanted[0], fx.Node):
            raise InputError("The network's output has to be one float32 tensor; return its logits alone.")
        original = wanted[0].meta["val"]
        if original.dtype != torch.float32:
            raise InputError(f"The network's output is of type {_type(original.dtype)}, and it has to be one float32 "
                             "tensor; convert it with .float().")  # fmt: skip
        value: Value = self.values[wanted[0]]
        input_node = next(node for node in self.stage.graph.nodes if node.name == "input_0")
        if isinstance(value, Tensor) or value.op == "placeholder" or not _reads(value, input_node):
            # A runtime writes its output itself, from its input.
            value = self._anchored(value, input_node)
        self.stage.output(value)
        self.stage.graph.eliminate_dead_code()

    def _anchored(self, value: Value, input_node: fx.Node) -> Value:
        """The value as the result of an operator on the input."""
        g = self.stage
        if value is input_node:
            return g.unary(torch.ops.aten.neg.default, g.unary(torch.ops.aten.neg.default, value))
        raise InputError("The network's output does not depend on its input; return a result that does.")

    def _program(self) -> Any:
        stage = self.stage
        used = {node.name for node in stage.graph.nodes}
        for name, tensor in stage.constants.items():
            if name in used:
                self.specs.append(InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(name), name))
                _ = tensor
        self.specs.append(InputSpec(InputKind.USER_INPUT, TensorArgument("input_0"), None))
        output = next(node for node in reversed(stage.graph.nodes) if node.op == "output").args[0][0]
        signature = ExportGraphSignature(
            self.specs, [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(output.name), None)]
        )
        root = fx.GraphModule({}, stage.graph)
        entry = copy.deepcopy(self.program.module_call_graph[:1])
        for each in entry:
            if each.signature is not None:
                each.signature = type(each.signature)(
                    inputs=[TensorArgument("input_0")], outputs=[TensorArgument(output.name)],
                    in_spec=_one_argument(), out_spec=_one_result(),
                )  # fmt: skip
        return torch.export.ExportedProgram(
            root=root, graph=stage.graph, graph_signature=signature,
            state_dict={str(spec.target): self.program.state_dict[spec.target] for spec in self.specs
                        if spec.kind is InputKind.PARAMETER},
            range_constraints={}, module_call_graph=entry, example_inputs=None,
            constants={name: tensor for name, tensor in stage.constants.items() if name in used},
            verifiers=self.program.verifiers,
        )  # fmt: skip


def _computes(entry: Operator) -> bool:
    """Whether an operator's results are other numbers than its operands."""
    return entry.group in ("Functions of one number", "Arithmetic", "Activations", "Reductions")


def _one_argument() -> Any:
    from torch.utils import _pytree as pytree

    return pytree.tree_flatten(((0,), {}))[1]


def _one_result() -> Any:
    from torch.utils import _pytree as pytree

    return pytree.tree_flatten(0)[1]


def _meta(node: fx.Node) -> dict[str, Any]:
    return {key: node.meta[key] for key in ("nn_module_stack",) if key in node.meta}


def _reads(value: fx.Node, source: fx.Node) -> bool:
    """Whether a node follows from `source`."""
    seen: set[fx.Node] = set()
    left = [value]
    while left:
        node = left.pop()
        if node is source:
            return True
        if node not in seen:
            seen.add(node)
            left += node.all_input_nodes
    return False


def _constant(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in HALVES:
        return value.detach().to(torch.float32)
    return value.detach() if isinstance(value, Tensor) else value


def _attribute(module: Any, target: str) -> Any:
    for part in target.split("."):
        module = getattr(module, part)
    return _constant(module)


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
