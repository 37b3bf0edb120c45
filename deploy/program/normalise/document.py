"""docs/OPERATORS.md, generated from the table of rules.

Command: `python -m bayespress.deploy.program.normalise.document > docs/OPERATORS.md`.
"""

from __future__ import annotations

from .table import TABLE
from .walk import RULES

_HEAD = """# Operators that are supported, and those that are refused

Before a network is compiled or written as ONNX, `deploy/program/normalise` rewrites its torch.export program into few
operators. `python -m bayespress.deploy.program.normalise.document` makes this page of its table; a test compares them.
An operator that is not listed, or that does not meet its condition, is refused with its name and its module. PyTorch
takes composite operators apart before (`nn.LSTM`, `nn.MultiheadAttention`, `einsum`, `F.normalize` and so on): what
they are made of counts.

- The network takes one float32 tensor of fixed shape and returns one float32 tensor. Inside, float32, float64, int64,
  int32 and bool are computed in as they are; int8, uint8 and int16 in int32, converted back after each operator.
- float16 and bfloat16: operators marked *half* compute in float32 and round to the type after each operator, as PyTorch
  does. Others are refused in these types, since PyTorch's own last digit depends on the processor.
- Positions that the network computes from its input are clamped to the extent: PyTorch raises an error where they are
  outside, which a compiled network cannot. Nothing outside of a tensor is ever read or written. `one_hot` of a class
  that does not exist gives zeros. A division of integers by zero gives 0.
- NaN: `isnan`, `nan_to_num`, comparisons and arithmetic treat it as PyTorch does. Maxima, minima, clamp and relu may
  return another operand in place of NaN.

"""

_REFUSED = """## Refused

| operators | why |
|---|---|
| `rand`, `bernoulli`, `multinomial`, dropout in training mode | they draw random numbers |
| `fft`, `stft`, `view_as_complex` and all complex numbers | neither TVM nor our runtime has them |
| `nonzero`, `unique`, `masked_select`, `x[mask]` with a mask, `bincount` | their shape follows from values |
| `torch.cond`, `while_loop`, `scan` | they choose their way while they run |
| `searchsorted`, `histc`, `mode`, `logcumsumexp`, `pdist`, `EmbeddingBag` | no rule yet |
| `bitwise_and`, `bitwise_or`, `bitwise_xor`, `bitwise_not` of integers, shifts | no rule yet; booleans are taken |
| `copysign`, `signbit` | the sign of a zero is not kept |
| indices of max-pooling (`return_indices=True`) | no rule yet; its values are taken |
| buffers that `forward` changes | a compiled network has no state |
"""


def document() -> str:
    """The page."""
    lines = [_HEAD]
    # In the order of the modules, whichever of them was imported first.
    modules = {module.__name__: number for number, module in enumerate(RULES)}
    entries = sorted(TABLE.values(), key=lambda entry: modules[entry.rule.__module__])
    for group in dict.fromkeys(entry.group for entry in entries):
        lines += [f"## {group}\n", "| operators | becomes | condition |", "|---|---|---|"]
        rules: dict[int, list[str]] = {}
        for name, entry in TABLE.items():
            if entry.group == group:
                rules.setdefault(id(entry.rule), []).append(name)
        for names in rules.values():
            entry = TABLE[names[0]]
            condition = "; ".join(filter(None, [entry.condition, "*half*" if entry.half else ""]))
            listed = ", ".join(f"`{name}`" for name in names)
            lines.append(f"| {listed} | {entry.form.replace('|', chr(92) + '|')} | {condition} |")
        lines.append("")
    return "\n".join([*lines, _REFUSED])


if __name__ == "__main__":
    print(document(), end="")
