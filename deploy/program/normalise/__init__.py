"""An exported network in few operators, on which TVM, ONNX and PyTorch agree.

TVM's importer reads a negative index as memory before the tensor, ignores `alpha` and `divisor_override`, and knows
SELU's other constants; the ONNX exporter has faults of its own. So both get a program that was rewritten before: every
operator by a rule of the table (table.py), with positions counted from the front, attributes spelled out and whatever
is constant computed by PyTorch. What the table lacks is refused by name and place. docs/OPERATORS.md is made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from .walk import Normalised

__all__ = ["normalised"]


def normalised(program: ExportedProgram, *, whole: bool = False) -> Normalised:
    """See walk.normalised. PyTorch is loaded only here: `verify` and `inspect` start without it."""
    from .walk import normalised as rewrite

    return rewrite(program, whole=whole)
