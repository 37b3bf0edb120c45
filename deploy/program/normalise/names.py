"""Names of weights that PyTorch can write as Python and everyone as C."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec, OutputKind, OutputSpec

from ....errors import InputError
from ....text import printable

_Argument = TypeVar("_Argument")

_ODD = re.compile(r"[^A-Za-z0-9_]+")
# A name's length that C compilers and linkers all take, with what is put before and behind it.
_LONGEST = 40


def with_plain_names(program: ExportedProgram) -> tuple[ExportedProgram, dict[str, str]]:
    """The program with state-dict names that PyTorch can write as Python and everyone as C, and the original ones.

    PyTorch writes `self.for.weight` for a module named `for`, which is no Python.
    """
    original: fx.GraphModule = program.graph_module
    signature: ExportGraphSignature = program.graph_signature
    weights: Mapping[str, torch.nn.Parameter | Tensor] = program.state_dict
    constants: Mapping[str, Tensor] = program.constants
    graph = copy.deepcopy(original)
    # A copy gives other names to nodes that are called like a function of Python, `input` for instance.
    copied = {old.name: new.name for old, new in zip(original.graph.nodes, graph.graph.nodes, strict=True)}
    used: set[str] = set()
    plain: dict[str, str] = {}
    names: dict[str, str] = {}
    specs = []
    for spec in signature.input_specs:
        target = spec.target
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            weight = cast("str", target)
            target = plain[weight] = _plain("p" if spec.kind is InputKind.PARAMETER else "k", weight, used)
            if spec.kind is InputKind.PARAMETER:
                names[target] = weight
        elif spec.kind is not InputKind.USER_INPUT:
            raise InputError(
                f"The network takes a {spec.kind.name.lower().replace('_', ' ')}; only tensors are supported."
            )
        specs.append(InputSpec(spec.kind, _renamed(spec.arg, copied), target, spec.persistent))
    outputs = []
    for output in signature.output_specs:
        if output.kind in (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION):
            raise InputError(f"The network changes its {printable(output.target)} while it runs; "
                             "a compiled network has no state, so return the result instead.")  # fmt: skip
        target = None if output.target is None else plain.get(output.target, output.target)
        outputs.append(OutputSpec(output.kind, _renamed(output.arg, copied), target))
    for name in [name for name, _ in original.named_children() if name in plain]:
        delattr(graph, name)
    made = ExportedProgram(
        root=graph,
        graph=graph.graph,
        graph_signature=ExportGraphSignature(specs, outputs),
        state_dict={plain.get(name, name): value for name, value in weights.items()},
        range_constraints={},
        module_call_graph=program.module_call_graph[:1],
        example_inputs=None,
        constants={plain.get(name, name): value for name, value in constants.items()},
        verifiers=program.verifiers,
    )
    return made, names


def _renamed(argument: _Argument, names: Mapping[str, str]) -> _Argument:
    """An argument of a signature after its graph was copied."""
    made = copy.copy(argument)
    name = getattr(made, "name", None)
    if isinstance(name, str):
        setattr(made, "name", names.get(name, name))  # noqa: B010 - of the kinds of arguments, not all have names
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
