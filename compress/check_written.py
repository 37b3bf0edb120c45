"""A packed directory checked against the network that was measured.

Errors are measured on the network in memory. What is deployed is the exported program with the weights that the file
decodes to; where these differ, the measured error would be that of another network.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from .. import codec
from ..errors import CheckFailedError, reason_of
from ..text import printable

# PyTorch runs the same operators in both, so outputs agree to the last bits of the largest; a lost hook, a fixed branch
# or a wrong weight changes them by far more. The first is relative to each output, the second to the largest of all.
_TOLERANCE, _LAST_BITS = 1e-4, 1e-6


def check_written(program_file: Path, weights: bytes, network: nn.Module, inputs: Tensor) -> None:
    """Compare a network.pt2 and the `.bpz` of its weights with `network` for `inputs` (n >= 1, ...), one by one.

    Raises CheckFailedError, which names the tensor or the difference.
    """
    program = torch.export.load(program_file)
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
    kind = type(network).__name__
    runnable = program.module()
    try:
        with torch.no_grad():
            found = torch.cat([runnable(each.unsqueeze(0)) for each in inputs])
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
