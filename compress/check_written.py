"""A packed directory checked against the network that was measured.

Errors are measured on the network in memory. What is deployed is the exported program with the weights that the file
decodes to; where these differ, the measured error would be that of another network.
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

# PyTorch runs the same operators in both, so outputs agree to the last bits of the largest; a lost hook, a fixed branch
# or a wrong weight changes them by far more. The first is relative to each output, the second to the largest of all.
_TOLERANCE, _LAST_BITS = 1e-4, 1e-6


def check_written(program_file: Path, weights: bytes, network: nn.Module, inputs: Tensor) -> None:
    """Compare a network.pt2 and the `.bpz` of its weights with `network` for `inputs` (n >= 1, ...), one by one.

    Raises CheckFailedError, which names the tensor or the difference, and InputError where PyTorch cannot read back
    what it wrote.
    """
    kind = type(network).__name__
    program = _read_back(program_file, kind)
    decoded = {tensor.name: torch.from_numpy(tensor.values()) for tensor in codec.decode(weights)}
    wanted = [*program.graph_signature.inputs_to_parameters.values()]
    for name in wanted:
        held = program.state_dict[name]
        if not held.is_floating_point():
            continue
        if name not in decoded or not torch.equal(decoded[name].reshape(held.shape), held.float()):
            raise CheckFailedError(
                f"The exported network's tensor {printable(name)} is not what the packed file decodes to; report this "
                "with the network."
            )
    try:
        with torch.no_grad():
            found = torch.cat([_output(program, each.unsqueeze(0)) for each in inputs])
            right = torch.cat([network(each.unsqueeze(0)) for each in inputs])
    except Exception as error:  # guards of the exported program, and whatever operators raise
        raise CheckFailedError(
            f"The exported program of {kind} does not run on the inputs that it was exported for ({reason_of(error)}); "
            "make its forward independent of the values of its inputs."
        ) from error
    if difference := _difference(found, right):
        raise CheckFailedError(
            f"The exported program of {kind} does not compute what the measured network does ({difference}); make its "
            "forward traceable, without state and without branches on values."
        )


def _read_back(program_file: Path, kind: str) -> torch.export.ExportedProgram:
    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it would print a traceback beside the exception
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
    """What the program's graph makes of one example.

    Not by `program.module()`, which writes the modules' names into source code: those called `for` do not compile.
    """
    held = {**program.state_dict, **program.constants}
    signature = program.graph_signature
    arguments = [
        example if each.kind is InputKind.USER_INPUT else held[str(each.target)] for each in signature.input_specs
    ]
    outputs = program.graph_module(*arguments)
    (output,) = (
        value
        for value, each in zip(outputs, signature.output_specs, strict=True)
        if each.kind is OutputKind.USER_OUTPUT
    )
    return cast("Tensor", output)


def _difference(found: Tensor, right: Tensor) -> str:
    """In what outputs (n, ...) differ, as a clause, or nothing."""
    if found.shape != right.shape:
        return f"shape {tuple(found.shape)} in place of {tuple(right.shape)}"
    found, right = found.double(), right.double()
    finite = torch.isfinite(right)
    if not torch.equal(torch.isfinite(found), finite):
        return "other outputs are finite"
    error = torch.where(finite, found - right, 0.0).abs()
    size = torch.where(finite, right, 0.0).abs()
    allowed = _TOLERANCE * size.amax(0) + _LAST_BITS * size.max()
    if bool((error.amax(0) > allowed).any()):
        return f"outputs differ by up to {float(error.max()):.3g}, of up to {float(size.max()):.3g}"
    return ""
