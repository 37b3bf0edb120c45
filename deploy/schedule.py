"""The plan as C: tables that runtime/model.h declares."""

from __future__ import annotations

import numpy as np

from .lower import Plan, View

_SYMBOL = "__tvm_ffi_{}"
_TYPE_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}  # DLPack's, by NumPy's kind


def schedule_source(plan: Plan) -> str:
    """A C file that defines `bp_linked_model`; deterministic."""
    kernels = sorted({call.kernel for call in plan.calls})
    views = [view for call in plan.calls for view in call.views]
    shapes = sorted({view.shape for view in views})
    lines = ['#include "model.h"', ""]
    lines += [
        f"int {_SYMBOL.format(kernel)}(void *self, const bp_any *arguments, int32_t count, bp_any *result);"
        for kernel in kernels
    ]
    lines.append("")
    for number, shape in enumerate(shapes):
        lines.append(f"static const int64_t shape_{number}[] = {{{', '.join(map(str, shape)) or '1'}}};")
    for number, (array, _) in enumerate(plan.constants):
        # Little-endian, as every target is; bytes need no words for infinities and the smallest integers.
        numbers = ", ".join(map(str, array.astype(array.dtype.newbyteorder("<")).tobytes())) or "0"
        lines.append(f"static const unsigned char constant_{number}[] = {{{numbers}}};")
    lines += _table("bp_view", "views", [_view(view, shapes) for view in views])
    first, rows = 0, []
    for call in plan.calls:
        rows.append(f'"{call.kernel}", {_SYMBOL.format(call.kernel)}, {first}, {len(call.views)}')
        first += len(call.views)
    lines += _table("bp_kernel", "kernels", rows)
    lines += _table(
        "bp_parameter",
        "parameters",
        [
            f'"{name}", {view.offset}, {len(view.shape)}, {{{", ".join(map(str, view.shape)) or "0"}}}'
            for name, view in plan.parameters.items()
        ],
    )
    lines += _table(
        "bp_constant",
        "constants",
        [f"constant_{n}, {array.nbytes}, {offset}" for n, (array, offset) in enumerate(plan.constants)],
    )
    lines += [
        "const bp_model bp_linked_model = {",
        f"    parameters, {len(plan.parameters)}, constants, {len(plan.constants)},",
        f"    views, {len(views)}, kernels, {len(plan.calls)},",
        f"    {plan.input.offset}, {_floats(plan.input)}, {plan.output.offset}, {_floats(plan.output)},",
        f"    {plan.memory}, {plan.scratch}",
        "};",
    ]
    return "\n".join(lines) + "\n"


def _table(kind: str, name: str, rows: list[str]) -> list[str]:
    """An array of at least one row: C has no empty ones."""
    return [f"static const {kind} {name}[] = {{", *(f"    {{{row}}}," for row in rows or ["0"]), "};"]


def _view(view: View, shapes: list[tuple[int, ...]]) -> str:
    dtype = np.dtype(view.dtype)
    element = f"{_TYPE_CODES[dtype.kind]}, {8 * dtype.itemsize}"
    return f"{view.offset}, {len(view.shape)}, {element}, shape_{shapes.index(view.shape)}"


def _floats(view: View) -> int:
    count = 1
    for extent in view.shape:
        count *= extent
    return count
