"""Names of weights that PyTorch can write as Python and everyone as C."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec, OutputKind, OutputSpec

from ....errors import InputError
from ....text import printable

_ODD = re.compile(r"[^A-Za-z0-9_]+")
# A name's length that C compilers and linkers all take, with what is put before and behind it.
_LONGEST = 40


def with_plain_names(program: Any) -> tuple[Any, dict[str, str]]:
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
