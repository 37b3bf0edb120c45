"""From a torch.export program to its normal form, operator by operator."""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram, ModuleCallEntry
from torch.export.graph_signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.utils._pytree import TreeSpec, tree_flatten

from ....errors import BayespressError, InputError, reason_of
from ....text import printable
from . import activations, arithmetic, choices, functions, indexing, layers, reductions, resampling, shapes
from .errors import RefusedError
from .graph_builder import HALVES, TYPES, Value
from .names import with_plain_names
from .refusals import NAMED, check_one_of_each, name_of, refuse, refuse_unknown, results_of, written_name
from .rewriter import Rewriter
from .table import TABLE, Operator

# All modules of rules, in the order of docs/OPERATORS.md.
RULES = (functions, arithmetic, choices, activations, reductions, layers, resampling, indexing, shapes)

# What torch.export leaves behind for its own checks; nothing of it computes.
_CHECKS = (
    "_assert_tensor_metadata",
    "_assert_async",
    "_assert_scalar",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
)


@dataclass(frozen=True)
class Normalised:
    """A program in normal form.

    program  a torch.export program of the operators in docs/OPERATORS.md alone. Its weights' state-dict names are
             those of the graph's inputs, which are C identifiers
    names    the weights' names in the original network by these, in the order of the original program
    """

    program: ExportedProgram
    names: Mapping[str, str]


_MADE: weakref.WeakKeyDictionary[ExportedProgram, dict[bool, Normalised]] = weakref.WeakKeyDictionary()


def normalised(program: ExportedProgram, *, whole: bool = False) -> Normalised:
    """The equivalent program in normal form; made once for each program, which every target then compiles.

    whole  leave the operators whole that ONNX has and TVM's import gets wrong or slow: transposed convolutions, layer
           norms, GELU, hard-swish and hard-sigmoid. A runtime of ONNX has kernels for them

    Operators that the table lacks, or that do not meet its conditions, are refused: raises InputError, which names
    each of them with the modules that it stands in.
    """
    made = _MADE.setdefault(program, {})
    if whole in made:
        return made[whole]
    check_one_of_each(program.graph_signature)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            renamed, names = with_plain_names(program)
            refuse_unknown(renamed.graph)
            decomposed = _decomposed(renamed)
            made[whole] = Normalised(_Walk(decomposed, names, whole).result(), names)
            return made[whole]
    except BayespressError:
        raise
    except Exception as error:
        # torch.export's passes raise dozens of types; all mean that this graph is beyond them.
        nodes: list[fx.Node] = list(program.graph.nodes)
        calls = [node for node in nodes if node.op == "call_function"]
        unlisted = dict.fromkeys(name for name in map(name_of, calls) if name not in TABLE)
        which = ", ".join(printable(name) for name in [*unlisted][:NAMED]) or "the operator that it names"
        raise InputError(
            f"PyTorch cannot take the exported network apart ({type(error).__name__}: {reason_of(error)}); "
            f"replace {which} (docs/OPERATORS.md lists those that are supported)."
        ) from error


def _decomposed(program: ExportedProgram) -> ExportedProgram:
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


class _Walk:
    """Rewrites a program in which nothing is done in place."""

    def __init__(self, program: ExportedProgram, names: Mapping[str, str], whole: bool) -> None:
        self.program, self.names = program, names
        self.graph_module: fx.GraphModule = program.graph_module
        self.nodes: list[fx.Node] = list(program.graph.nodes)
        self.signature: ExportGraphSignature = program.graph_signature
        self.weights: Mapping[str, Tensor] = program.state_dict
        self.stage = Rewriter(whole=whole)
        self.values: dict[fx.Node, Any] = {}
        self.refused: list[tuple[str, fx.Node, str]] = []
        self.specs: list[InputSpec] = []

    def result(self) -> ExportedProgram:
        """The program in normal form."""
        self._inputs()
        output: fx.Node | None = None
        for node in self.nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op == "get_attr":
                self.values[node] = _attribute(self.graph_module, str(node.target))
            elif node.op == "output":
                output = node
        refuse(self.refused)
        if output is None:
            raise ValueError("the graph has no output")
        self._output(output)
        return self._program()

    def _inputs(self) -> None:
        nodes = {node.name: node for node in self.nodes if node.op == "placeholder"}
        user: InputSpec | None = None
        for spec in self.signature.input_specs:
            node = nodes[spec.arg.name]
            if spec.kind is InputKind.PARAMETER:
                name = cast("str", spec.target)
                weight, original = self.weights[name], printable(self.names[name])
                if weight.dtype != torch.float32:
                    raise InputError(f"{original} is of type {_type(weight.dtype)}, and weights have to be float32; "
                                     "convert the network with .float().")  # fmt: skip
                made = self.stage.placeholder(name, weight.shape, weight.dtype)
                self.values[node] = made
                self.specs.append(InputSpec(InputKind.PARAMETER, TensorArgument(name), name))
            elif spec.kind is InputKind.USER_INPUT:
                user = spec
            else:
                held = (
                    self.program.constants
                    if spec.kind is InputKind.CONSTANT_TENSOR or not spec.persistent
                    else self.weights
                )
                self.values[node] = _constant(held[cast("str", spec.target)])
        if user is None or isinstance(user.arg, ConstantArgument):
            raise InputError("The network takes no tensor; give it one input.")
        node = nodes[user.arg.name]
        value: Tensor = node.meta["val"]
        if value.dtype != torch.float32:
            raise InputError(f"The network's input is of type {_type(value.dtype)}, and it has to be float32; "
                             "convert it in the network's forward.")  # fmt: skip
        self.values[node] = self.stage.placeholder("input_0", value.shape, value.dtype, last=True)

    def _call(self, node: fx.Node) -> None:
        name = name_of(node)
        if name.partition(".")[0] in _CHECKS:
            return
        if any(self._broken(each) for each in node.all_input_nodes):
            if name not in TABLE:
                self.refused.append((written_name(node), node, "is not supported"))
            return
        try:
            self.values[node] = self._rewritten(node, name)
        except RefusedError as error:
            self.refused.append((name if name in TABLE else written_name(node), node, str(error)))
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
        inputs = [value for each in node.all_input_nodes for value in results_of(each) if isinstance(value, Tensor)]
        outputs = [value for value in results_of(node) if isinstance(value, Tensor)]
        for value in (*inputs, *outputs):
            if value.dtype not in (*TYPES, *HALVES):
                raise RefusedError(f"computes in {_type(value.dtype)}")
        halves = {value.dtype for value in outputs if value.dtype in HALVES}
        if not entry.half and (halves or any(value.dtype in HALVES for value in inputs)):
            kind = next(iter(halves | {value.dtype for value in inputs if value.dtype in HALVES}))
            raise RefusedError(f"computes in {_type(kind)}, in which it is not exact, unlike in float32")
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
        flat = cast("Sequence[object]", node.args[0])
        wanted = [
            argument for argument, spec in zip(flat, self.signature.output_specs, strict=True)
            if spec.kind is OutputKind.USER_OUTPUT
        ]  # fmt: skip
        if len(wanted) != 1 or not isinstance(wanted[0], fx.Node):
            raise InputError("The network's output has to be one float32 tensor; return its logits alone.")
        original: Tensor = wanted[0].meta["val"]
        if original.dtype != torch.float32:
            raise InputError(f"The network's output is of type {_type(original.dtype)}, and it has to be one float32 "
                             "tensor; convert it with .float().")  # fmt: skip
        value: Value = self.values[wanted[0]]
        built: list[fx.Node] = list(self.stage.graph.nodes)
        input_node = next(node for node in built if node.name == "input_0")
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

    def _program(self) -> ExportedProgram:
        stage = self.stage
        nodes: list[fx.Node] = list(stage.graph.nodes)
        used = {node.name for node in nodes}
        for name in stage.constants:
            if name in used:
                self.specs.append(InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(name), name))
        self.specs.append(InputSpec(InputKind.USER_INPUT, TensorArgument("input_0"), None))
        end = next(node for node in reversed(nodes) if node.op == "output")
        output = cast("tuple[fx.Node]", end.args[0])[0]
        signature = ExportGraphSignature(
            self.specs, [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(output.name), None)]
        )
        root = fx.GraphModule({}, stage.graph)
        entry: list[ModuleCallEntry] = copy.deepcopy(self.program.module_call_graph[:1])
        for each in entry:
            if each.signature is not None:
                each.signature = type(each.signature)(
                    inputs=[TensorArgument("input_0")], outputs=[TensorArgument(output.name)],
                    in_spec=_one_argument(), out_spec=_one_result(),
                )  # fmt: skip
        return ExportedProgram(
            root=root, graph=stage.graph, graph_signature=signature,
            state_dict={str(spec.target): self.weights[str(spec.target)] for spec in self.specs
                        if spec.kind is InputKind.PARAMETER},
            range_constraints={}, module_call_graph=entry, example_inputs=None,
            constants={name: tensor for name, tensor in stage.constants.items() if name in used},
            verifiers=self.program.verifiers,
        )  # fmt: skip


def _computes(entry: Operator) -> bool:
    """Whether an operator's results are other numbers than its operands."""
    return entry.group in ("Functions of one number", "Arithmetic", "Activations", "Reductions")


def _one_argument() -> TreeSpec:
    return tree_flatten(((0,), {}))[1]


def _one_result() -> TreeSpec:
    return tree_flatten(0)[1]


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
