"""Check a packed directory against the network that was measured.

Errors are measured on the network in memory, but the exported program with the decoded weights is deployed. If the two
differed, the measured error would belong to another network.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, OutputKind

from .. import codec
from ..errors import CheckFailedError, InputError, reason_of
from ..text import printable

# PyTorch runs the same operators in both, so outputs agree to the last bits of the largest one. A lost hook, a fixed
# branch or a wrong weight changes them by far more.
_TOLERANCE = 1e-4  # relative to each output
_LAST_BITS = 1e-6  # relative to the largest output


def check_written(program_file: Path, weights: bytes, network: nn.Module, inputs: Tensor) -> None:
    """Compare a network.pt2 and its `.bpz` weights with `network` on each of `inputs` (n >= 1, ...).

    Raises CheckFailedError, which names the tensor or the difference, and InputError when PyTorch cannot read the
    program that it wrote.
    """
    kind = type(network).__name__
    program = _read_back(program_file, kind)
    decoded = {tensor.name: torch.from_numpy(tensor.values()) for tensor in codec.decode(weights)}
    for name in program.graph_signature.inputs_to_parameters.values():
        exported = program.state_dict[name]
        if not exported.is_floating_point():
            continue
        if name not in decoded or not torch.equal(decoded[name].reshape(exported.shape), exported.float()):
            raise CheckFailedError(
                f"The exported network's tensor {printable(name)} differs from the one that the packed file decodes "
                "to; report this with the network."
            )
    try:
        with torch.no_grad():
            actual = torch.cat([_output(program, example.unsqueeze(0)) for example in inputs])
            expected = torch.cat([network(example.unsqueeze(0)) for example in inputs])
    except Exception as error:  # the exported program's guards and any operator may raise
        raise CheckFailedError(
            f"The exported program of {kind} does not run on the inputs that it was exported for ({reason_of(error)}); "
            "make its forward independent of the values of its inputs."
        ) from error
    if difference := _difference(actual, expected):
        raise CheckFailedError(
            f"The exported program of {kind} does not compute what the measured network does ({difference}); make its "
            "forward traceable, without state and without branches on values."
        )


def _read_back(program_file: Path, kind: str) -> torch.export.ExportedProgram:
    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it would print a traceback in addition to the exception
    try:
        return torch.export.load(program_file)
    except RuntimeError as error:
        raise InputError(
            f"PyTorch cannot read back the exported program of {kind} ({reason_of(error)}); give its modules names of "
            "letters, digits and underscores."
        ) from error
    finally:
        log.setLevel(level)


def _output(program: torch.export.ExportedProgram, example: Tensor) -> Tensor:
    """The output of the program's graph for one example.

    `program.module()` is not used: it writes module names into source code, so a module named `for` does not compile.
    """
    tensors = {**program.state_dict, **program.constants}
    signature = program.graph_signature
    arguments = [
        example if spec.kind is InputKind.USER_INPUT else tensors[str(spec.target)] for spec in signature.input_specs
    ]
    outputs = program.graph_module(*arguments)
    (output,) = (
        value
        for value, spec in zip(outputs, signature.output_specs, strict=True)
        if spec.kind is OutputKind.USER_OUTPUT
    )
    return cast("Tensor", output)


def _difference(actual: Tensor, expected: Tensor) -> str:
    """How the outputs (n, ...) differ, as a clause; an empty string if they agree."""
    if actual.shape != expected.shape:
        return f"shape {tuple(actual.shape)} in place of {tuple(expected.shape)}"
    actual, expected = actual.double(), expected.double()
    finite = torch.isfinite(expected)
    if not torch.equal(torch.isfinite(actual), finite):
        return "different outputs are finite"
    error = torch.where(finite, actual - expected, 0.0).abs()
    size = torch.where(finite, expected, 0.0).abs()
    allowed = _TOLERANCE * size.amax(0) + _LAST_BITS * size.max()
    if bool((error.amax(0) > allowed).any()):
        return f"outputs of up to {float(size.max()):.3g} differ by up to {float(error.max()):.3g}"
    return ""
