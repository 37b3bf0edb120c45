"""The graph of a stored torch.export program, as a schema that has no place for code.

It is the part of PyTorch 2.13's torch/_export/serde/schema.py that a network with fixed sizes needs: operators of
PyTorch's own on tensors, known numbers, and names that are plain identifiers, since PyTorch writes them into Python
source. Symbolic sizes, custom objects and guards are refused by name.
"""

from __future__ import annotations

import json
import keyword
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ...optional import require
from ...text import printable

_OVERLOAD = re.compile(r"torch\.ops\.aten\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)", re.ASCII)
_HIGHER_ORDER = tuple(
    f"torch.ops.higher_order.{name}" for name in ("cond", "wrap_with_autocast", "wrap_with_set_grad_enabled")
)
# ATen's operators for Python's signs on integers and booleans; other names with two underscores are Python's own.
_SIGNS = frozenset(f"__{place}{name}__" for name in ("and", "or", "xor", "lshift", "rshift") for place in ("", "i"))
# Operators that touch what is outside the network: files, and standard output.
_REFUSED = frozenset(("from_file", "save", "warn", "_print"))


def _identifier(name: str) -> str:
    """Names of the graph become Python source."""
    if not name.isascii() or not name.isidentifier() or keyword.iskeyword(name) or len(name) > 1000:
        raise ValueError(f"'{printable(name[:60])}' is no plain name")
    return name


def _state_name(name: str) -> str:
    """Names of weights may hold what is no identifier, but nothing that ends a string literal."""
    if not name.isprintable() or len(name) > 1000 or any(character in "\"'\\{}" for character in name):
        raise ValueError(f"'{printable(name[:60])}' is no name of a tensor")
    return name


def _operator(target: str) -> str:
    """An operator of PyTorch's own on tensors, by its full name; no other function can be named."""
    if target in _HIGHER_ORDER:
        return target
    found = _OVERLOAD.fullmatch(target)
    if found is None or found[1] in _REFUSED or (found[1].startswith("__") and found[1] not in _SIGNS):
        raise ValueError(f"operator {printable(target[:80])!r} is none of PyTorch's on tensors")
    require("torch")
    import torch

    overload = getattr(getattr(torch.ops.aten, found[1], None), found[2], None)
    if not isinstance(overload, torch._ops.OpOverload):
        raise ValueError(f"PyTorch has no operator {target!r}")  # noqa: TRY004 - pydantic wants ValueError
    return target


def _tree(text: str) -> str:
    """How inputs or outputs are nested: tuples, lists and dictionaries of leaves, with nothing beside."""
    try:
        protocol, root = json.loads(text)
        pending = [root]
        while pending:
            node = pending.pop()
            kind = node["type"]
            context = None if node["context"] is None else json.loads(node["context"])
            if kind == "builtins.dict" and isinstance(context, list):
                for key in context:
                    _identifier(key)
            elif kind not in ("builtins.tuple", "builtins.list", None) or context is not None:
                raise ValueError
            pending.extend(node["children_spec"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        protocol = None
    if protocol != 1:
        raise ValueError("inputs and outputs are nested in more than tuples, lists and dictionaries of tensors")
    return text


_Identifier = Annotated[str, AfterValidator(_identifier)]
_StateName = Annotated[str, AfterValidator(_state_name)]
_Operator = Annotated[str, AfterValidator(_operator)]
_Tree = Annotated[str, Field(max_length=100_000), AfterValidator(_tree)]
_Size = Annotated[int, Field(ge=0, lt=1 << 48)]
_Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
_Real = float | Literal["Infinity", "-Infinity", "NaN"]
_Empty = Annotated[dict[str, object], Field(max_length=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _OneOf(_Strict):
    """PyTorch's unions: an object with one of the fields."""

    @model_validator(mode="after")
    def _just_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("not just one alternative is given")
        return self


class _FixedSize(_Strict):
    as_int: _Size


class _Device(_Strict):
    type: Literal["cpu"]
    index: None = None


class _TensorMeta(_Strict):
    dtype: Annotated[int, Field(ge=0, le=64)]
    sizes: tuple[_FixedSize, ...]
    requires_grad: bool
    device: _Device
    strides: tuple[_FixedSize, ...]
    storage_offset: _FixedSize
    layout: Annotated[int, Field(ge=0, le=16)]


class _TensorArgument(_Strict):
    name: _Identifier


class _OptionalTensor(_OneOf):
    as_tensor: _TensorArgument | None = None
    as_none: bool | None = None


class _FixedInt(_Strict):
    as_int: _Whole


class _FixedFloat(_Strict):
    as_float: _Real


class _FixedBool(_Strict):
    as_bool: bool


class _Complex(_Strict):
    real: _Real
    imag: _Real


class _GraphArgument(_Strict):
    name: _Identifier
    graph: _Graph


class _Argument(_OneOf):
    as_none: bool | None = None
    as_tensor: _TensorArgument | None = None
    as_tensors: tuple[_TensorArgument, ...] | None = None
    as_optional_tensors: tuple[_OptionalTensor, ...] | None = None
    as_nested_tensors: tuple[tuple[_TensorArgument, ...], ...] | None = None
    as_int: _Whole | None = None
    as_ints: tuple[_Whole, ...] | None = None
    as_float: _Real | None = None
    as_floats: tuple[_Real, ...] | None = None
    as_complex: _Complex | None = None
    as_bool: bool | None = None
    as_bools: tuple[bool, ...] | None = None
    as_string: str | None = None
    as_strings: tuple[str, ...] | None = None
    as_sym_int: _FixedInt | None = None
    as_sym_ints: tuple[_FixedInt, ...] | None = None
    as_sym_float: _FixedFloat | None = None
    as_sym_floats: tuple[_FixedFloat, ...] | None = None
    as_sym_bool: _FixedBool | None = None
    as_sym_bools: tuple[_FixedBool, ...] | None = None
    as_scalar_type: int | None = None
    as_memory_format: int | None = None
    as_layout: int | None = None
    as_device: _Device | None = None
    as_graph: _GraphArgument | None = None


class _NamedArgument(_Strict):
    name: Annotated[str, AfterValidator(lambda name: _plain_keyword(name))]
    arg: _Argument
    kind: Literal[1, 2] | None = None


def _plain_keyword(name: str) -> str:
    """Operators have arguments named `from`, which PyTorch passes by position."""
    return name if name == "" or keyword.iskeyword(name) else _identifier(name)


class _Node(_Strict):
    target: _Operator
    inputs: tuple[_NamedArgument, ...]
    outputs: tuple[_Argument, ...]
    metadata: dict[str, str]
    is_hop_single_tensor_return: bool | None = None
    name: _Identifier | None = None

    @model_validator(mode="after")
    def _no_graph_for_operators(self) -> Self:
        if self.target not in _HIGHER_ORDER and any(argument.arg.as_graph is not None for argument in self.inputs):
            raise ValueError(f"operator {self.target} takes no graph")
        return self


class _TensorInput(_Strict):
    as_tensor: _TensorArgument


class _Graph(_Strict):
    inputs: tuple[_TensorInput, ...]
    outputs: tuple[_OptionalTensor, ...]
    nodes: tuple[_Node, ...]
    tensor_values: dict[_Identifier, _TensorMeta]
    sym_int_values: _Empty
    sym_bool_values: _Empty
    is_single_tensor_return: bool = False
    custom_obj_values: _Empty = Field(default_factory=dict)
    sym_float_values: _Empty = Field(default_factory=dict)


class _UserInput(_Strict):
    arg: _TensorInput


class _ParameterInput(_Strict):
    arg: _TensorArgument
    parameter_name: _StateName


class _BufferInput(_Strict):
    arg: _TensorArgument
    buffer_name: _StateName
    persistent: bool


class _ConstantInput(_Strict):
    arg: _TensorArgument
    tensor_constant_name: _StateName


class _InputSpec(_OneOf):
    user_input: _UserInput | None = None
    parameter: _ParameterInput | None = None
    buffer: _BufferInput | None = None
    tensor_constant: _ConstantInput | None = None


class _UserOutput(_Strict):
    arg: _OptionalTensor


class _BufferOutput(_Strict):
    arg: _TensorArgument
    buffer_name: _StateName


class _ParameterOutput(_Strict):
    arg: _TensorArgument
    parameter_name: _StateName


class _InputOutput(_Strict):
    arg: _TensorArgument
    user_input_name: _Identifier


class _OutputSpec(_OneOf):
    user_output: _UserOutput | None = None
    buffer_mutation: _BufferOutput | None = None
    parameter_mutation: _ParameterOutput | None = None
    user_input_mutation: _InputOutput | None = None


class _Signature(_Strict):
    input_specs: tuple[_InputSpec, ...]
    output_specs: tuple[_OutputSpec, ...]


class _CallSignature(_Strict):
    inputs: tuple[_OptionalTensor, ...]
    outputs: tuple[_OptionalTensor, ...]
    in_spec: _Tree
    out_spec: _Tree
    forward_arg_names: tuple[_Identifier, ...] | None = None


class _Call(_Strict):
    fqn: Annotated[str, AfterValidator(_state_name)]
    signature: _CallSignature | None = None


class _GraphModule(_Strict):
    graph: _Graph
    signature: _Signature
    module_call_graph: tuple[_Call, ...]
    metadata: dict[str, str] = Field(default_factory=dict)
    treespec_namedtuple_fields: _Empty = Field(default_factory=dict)


class _SchemaVersion(_Strict):
    major: Literal[8]
    minor: int


class Program(_Strict):
    """models/model.json."""

    graph_module: _GraphModule
    opset_version: dict[str, int]
    range_constraints: _Empty
    schema_version: _SchemaVersion
    verifiers: tuple[Literal["TRAINING", "ATEN"], ...]
    torch_version: str
    guards_code: Annotated[tuple[str, ...], Field(max_length=0)] = ()

    def plain(self) -> dict[str, Any]:
        """What PyTorch is given: of the metadata only the text that names a node's place."""
        fields: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        fields["graph_module"]["metadata"] = {}
        graphs = [fields["graph_module"]["graph"]]
        while graphs:
            for node in graphs.pop()["nodes"]:
                node["metadata"] = {
                    key: text for key, text in node["metadata"].items() if key in ("nn_module_stack", "stack_trace")
                }
                graphs += [each["arg"]["as_graph"]["graph"] for each in node["inputs"] if "as_graph" in each["arg"]]
        return fields


class _Payload(_Strict):
    path_name: str
    is_param: bool
    use_pickle: Literal[False]
    tensor_meta: _TensorMeta


class PayloadConfig(_Strict):
    """Where the bytes of each weight or constant lie in the archive, and what tensor they are."""

    config: dict[_StateName, _Payload]
