"""The plan as C: tables that runtime/model.h declares."""

from __future__ import annotations

import numpy as np

from .opencl import GpuProgram
from .plan import Call, Plan, SparseParameter, View

_SYMBOL = "__tvm_ffi_{}"
_TYPE_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}  # DLPack's, by NumPy's kind


def schedule_source(plan: Plan) -> str:
    """A C file that defines `bp_linked_model`; deterministic."""
    calls = sorted(plan.calls, key=lambda call: not call.once)  # those of loading first, in their order
    kernels = sorted({call.kernel for call in calls})
    views = [view for call in calls for view in call.views]
    shapes = sorted({view.shape for view in views})
    lines = ['#include "model.h"', ""]
    lines += [
        f"int {_SYMBOL.format(kernel)}(void *self, const bp_any *arguments, int32_t count, bp_any *result);"
        for kernel in kernels
    ]
    lines.append("")
    for number, shape in enumerate(shapes):
        lines.append(f"static const int64_t shape_{number}[] = {{{', '.join(map(str, shape)) or '1'}}};")
    lines += _constants(plan)
    lines += _table("bp_view", "views", [_view(view, shapes) for view in views])
    first, rows = 0, []
    for call in calls:
        rows.append(f'"{_label(call)}", {_SYMBOL.format(call.kernel)}, {first}, {len(call.views)}')
        first += len(call.views)
    lines += _table("bp_kernel", "kernels", rows)
    rows = []
    for number, (name, parameter) in enumerate(plan.parameters.items()):
        sparse = "0"
        if isinstance(parameter, SparseParameter):
            lines += _sparse(number, parameter)
            sparse = f"&sparse_{number}"
        offset = parameter.values.offset if isinstance(parameter, SparseParameter) else parameter.offset
        rows.append(_parameter(name, offset, parameter.shape, sparse))
    lines += _table("bp_parameter", "parameters", rows)
    lines += [
        "const bp_model bp_linked_model = {",
        f"    parameters, {len(plan.parameters)}, constants, {len(plan.constants)},",
        f"    views, {len(views)}, kernels, {len(calls)}, {sum(call.once for call in calls)},",
        f"    {plan.input.offset}, {_floats(plan.input)}, {plan.output.offset}, {_floats(plan.output)},",
        f"    {plan.weights}, {plan.arena}, {plan.scratch}",
        "};",
    ]
    return "\n".join(lines) + "\n"


def gpu_schedule_source(program: GpuProgram) -> str:
    """A C file that defines `bp_linked_gpu_model`; deterministic."""
    plan = program.plan
    launches = sorted(program.launches, key=lambda launch: not launch.once)
    lines = ['#include "model_gpu.h"', "", "static const char source[] ="]
    # By lines: compilers need not take longer strings than that.
    lines += [f"    {_c_string(line)}" for line in program.source.splitlines(keepends=True)] or ['    ""']
    lines.append(";")
    lines += _constants(plan)
    views = [view for launch in launches for view in launch.views]
    lines += _table("bp_gpu_view", "views", [f"{view.offset}, {_bytes(view)}, {int(view.arena)}" for view in views])
    first, rows = 0, []
    for launch in launches:
        label = f"{', '.join(launch.layers)}: {launch.kernel}" if any(launch.layers) else launch.kernel
        sizes = ", ".join("{" + ", ".join(map(str, each)) + "}" for each in (launch.items, launch.group))
        rows.append(f'"{launch.kernel}", "{label}", {first}, {len(launch.views)}, {sizes}')
        first += len(launch.views)
    lines += _table("bp_gpu_launch", "launches", rows)
    rows = []
    for name, view in plan.parameters.items():
        if isinstance(view, SparseParameter):
            raise TypeError(f"{name} is sparse, and GPUs get dense weights")
        rows.append(_parameter(name, view.offset, view.shape))
    lines += _table("bp_parameter", "parameters", rows)
    lines += [
        "const bp_gpu_model bp_linked_gpu_model = {",
        f"    source, sizeof source - 1, parameters, {len(rows)}, constants, {len(plan.constants)},",
        f"    views, {len(views)}, launches, {len(launches)}, {sum(launch.once for launch in launches)},",
        f"    {plan.input.offset}, {plan.output.offset}, {plan.weights}, {plan.arena}",
        "};",
    ]
    return "\n".join(lines) + "\n"


def _parameter(name: str, offset: int, shape: tuple[int, ...], sparse: str = "0") -> str:
    return f'"{name}", {offset}, {len(shape)}, {{{", ".join(map(str, shape)) or "0"}}}, {sparse}'


def _constants(plan: Plan) -> list[str]:
    """The numbers of the graph, and the table of them."""
    lines = []
    for number, (array, _) in enumerate(plan.constants):
        # Little-endian, as every target is; bytes need no words for infinities and the smallest integers.
        numbers = ", ".join(map(str, array.astype(array.dtype.newbyteorder("<")).tobytes())) or "0"
        lines.append(f"static const unsigned char constant_{number}[] = {{{numbers}}};")
    rows = [f"constant_{n}, {array.nbytes}, {offset}" for n, (array, offset) in enumerate(plan.constants)]
    return lines + _table("bp_constant", "constants", rows)


def _c_string(line: str) -> str:
    escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _bytes(view: View) -> int:
    return _floats(view) * np.dtype(view.dtype).itemsize


def _table(kind: str, name: str, rows: list[str]) -> list[str]:
    """An array of at least one row: C has no empty ones."""
    return [f"static const {kind} {name}[] = {{", *(f"    {{{row}}}," for row in rows or ["0"]), "};"]


def _view(view: View, shapes: list[tuple[int, ...]]) -> str:
    dtype = np.dtype(view.dtype)
    element = f"{_TYPE_CODES[dtype.kind]}, {8 * dtype.itemsize}"
    return f"{view.offset}, {len(view.shape)}, {int(view.arena)}, {element}, shape_{shapes.index(view.shape)}"


def _label(call: Call) -> str:
    """What reports call it: the layers whose weights it reads, if any, and the kernel."""
    return f"{', '.join(call.layers)}: {call.kernel}" if any(call.layers) else call.kernel


def _sparse(number: int, parameter: SparseParameter) -> list[str]:
    table = ", ".join(map(str, parameter.table))
    entries = parameter.values.shape[0]
    return [
        f"static const uint32_t places_{number}[] = {{{table}}};",
        f"static const bp_sparse sparse_{number} = {{{parameter.places.offset}, {parameter.rows.offset}, "
        f"{parameter.scale.offset}, {entries}, {int(parameter.values.dtype == 'int8')}, "
        f"{np.dtype(parameter.places.dtype).itemsize}, "
        f"{parameter.inner}, {parameter.channel_stride}, places_{number}}};",
    ]


def _floats(view: View) -> int:
    count = 1
    for extent in view.shape:
        count *= extent
    return count
