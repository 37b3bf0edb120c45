"""An exported network in few operators, on which TVM, ONNX and PyTorch agree.

TVM's importer reads a negative index as memory before the tensor, ignores `alpha` and `divisor_override`, and knows
SELU's other constants; the ONNX exporter has faults of its own. So both get a program that was rewritten before: every
operator by a rule of the table (table.py), with positions counted from the front, attributes spelled out and whatever
is constant computed by PyTorch. What the table lacks is refused by name and place. docs/OPERATORS.md is made of it.
"""

from .walk import Normalised, normalised

__all__ = ["Normalised", "normalised"]
