"""Write a plan as C: the tables that runtime/model.h declares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .opencl import GpuProgram
from .plan import Call, Plan, SparseParameter, View

_SYMBOL = "__tvm_ffi_{}"
_STORED = {"float32": "BP_VALUES", "int8": "BP_GRID_LEVELS", "uint8": "BP_LEVELS"}
_TYPE_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}  # from NumPy's kind to DLPack's type code


def schedule_source(plan: Plan) -> str:
    """A C file that defines `bpi_linked_model`. Equal plans give equal files."""
    calls = sorted(plan.calls, key=lambda call: not call.once)  # calls during loading first; stable otherwise
    kernels = sorted({call.kernel for call in calls})
    views = [view for call in calls for view in call.views]
    shapes = sorted({view.shape for view in views})
    lines = ['#include "model.h"', ""]
    lines += [
        f"int {_SYMBOL.format(kernel)}(void *self, const bpi_any *arguments, int32_t count, bpi_any *result);"
        for kernel in kernels
    ]
    lines.append("")
    for number, shape in enumerate(shapes):
        lines.append(f"static const int64_t shape_{number}[] = {{{', '.join(map(str, shape)) or '1'}}};")
    lines += _constants(plan)
    lines += _table("bpi_view", "views", [_view(view, shapes) for view in views])
    first, rows = 0, []
    for call in calls:
        rows.append(f"{_c_string(_label(call))}, {_SYMBOL.format(call.kernel)}, {first}, {len(call.views)}")
        first += len(call.views)
    lines += _table("bpi_kernel", "kernels", rows)
    lines += _parameters(plan)
    lines += [
        "const bpi_model bpi_linked_model = {",
        f"    parameters, {len(plan.parameters)}, constants, {len(plan.constants)},",
        f"    views, {len(views)}, kernels, {len(calls)}, {sum(call.once for call in calls)},",
        f"    {plan.input.offset}, {_floats(plan.input)}, {plan.output.offset}, {_floats(plan.output)},",
        f"    {plan.weights}, {plan.arena}, {plan.scratch}",
        "};",
    ]
    return "\n".join(lines) + "\n"


def gpu_schedule_source(programs: Sequence[GpuProgram]) -> str:
    """A C file that defines `bpi_linked_gpu_models`, the preferred one first. Equal programs give equal files."""
    lines = ['#include "model_gpu.h"', ""]
    for program in programs:
        lines += _gpu_program(program)
    rows = [f"&{program.product_dtype}_model" for program in programs]
    lines += [
        f"const bpi_gpu_model *const bpi_linked_gpu_models[] = {{{', '.join(rows)}}};",
        f"const size_t bpi_linked_gpu_model_count = {len(rows)};",
    ]
    return "\n".join(lines) + "\n"


def _gpu_program(program: GpuProgram) -> list[str]:
    plan, prefix = program.plan, f"{program.product_dtype}_"
    launches = sorted(program.launches, key=lambda launch: not launch.once)
    lines = [f"static const char {prefix}source[] ="]
    # One literal per line, because C compilers may limit the length of a string literal.
    lines += [f"    {_c_string(line)}" for line in program.source.splitlines(keepends=True)] or ['    ""']
    lines.append(";")
    lines += _constants(plan, prefix)
    views = [view for launch in launches for view in launch.views]
    rows = [f"{view.offset}, {_bytes(view)}, {int(view.arena)}" for view in views]
    lines += _table("bpi_gpu_view", f"{prefix}views", rows)
    first, rows = 0, []
    for launch in launches:
        label = f"{', '.join(launch.layers)}: {launch.kernel}" if any(launch.layers) else launch.kernel
        sizes = ", ".join("{" + ", ".join(map(str, each)) + "}" for each in (launch.items, launch.group))
        rows.append(f'"{launch.kernel}", {_c_string(label)}, {first}, {len(launch.views)}, {sizes}')
        first += len(launch.views)
    lines += _table("bpi_gpu_launch", f"{prefix}launches", rows)
    lines += _parameters(plan, prefix)
    extension = _c_string(program.extension) if program.extension else "0"
    lines += [
        f"static const bpi_gpu_model {prefix}model = {{",
        f"    {extension}, {_c_string(program.product_dtype)},",
        f"    {prefix}source, sizeof {prefix}source - 1, {prefix}parameters, {len(plan.parameters)},",
        f"    {prefix}constants, {len(plan.constants)},",
        f"    {prefix}views, {len(views)},",
        f"    {prefix}launches, {len(launches)}, {sum(launch.once for launch in launches)},",
        f"    {plan.input.offset}, {plan.output.offset}, {plan.weights}, {plan.arena}",
        "};",
        "",
    ]
    return lines


def _parameters(plan: Plan, prefix: str = "") -> list[str]:
    """The table of parameters, and the descriptions of sparse weights that it points to."""
    lines, rows = [], []
    for number, (name, parameter) in enumerate(plan.parameters.items()):
        sparse, offset, shape = "0", 0, parameter.shape
        if isinstance(parameter, SparseParameter):
            lines += _sparse(f"{prefix}{{}}_{number}", parameter)
            sparse, offset = f"&{prefix}sparse_{number}", parameter.values.offset
        else:
            offset = parameter.offset
        rows.append(f"{_c_string(name)}, {offset}, {len(shape)}, {{{', '.join(map(str, shape)) or '0'}}}, {sparse}")
    return lines + _table("bpi_parameter", f"{prefix}parameters", rows)


def _constants(plan: Plan, prefix: str = "") -> list[str]:
    """The graph's constants, and their table."""
    lines = []
    for number, (array, _) in enumerate(plan.constants):
        # Bytes, because C has no portable literals for infinities, NaN and the smallest integers; little-endian, like
        # each target.
        numbers = ", ".join(map(str, array.astype(array.dtype.newbyteorder("<")).tobytes())) or "0"
        lines.append(f"static const unsigned char {prefix}constant_{number}[] = {{{numbers}}};")
    rows = [f"{prefix}constant_{n}, {array.nbytes}, {offset}" for n, (array, offset) in enumerate(plan.constants)]
    return lines + _table("bpi_constant", f"{prefix}constants", rows)


def _c_string(line: str) -> str:
    """A C string literal. Bytes that are not printable ASCII, quotes, backslashes and ? (trigraphs) become octal."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\\\?' else f"\\{byte:03o}" for byte in line.encode())
    return f'"{"".join(plain)}"'


def _bytes(view: View) -> int:
    return _floats(view) * np.dtype(view.dtype).itemsize


def _table(kind: str, name: str, rows: list[str]) -> list[str]:
    """A C array. It has at least one row, because C has no empty arrays."""
    return [f"static const {kind} {name}[] = {{", *(f"    {{{row}}}," for row in rows or ["0"]), "};"]


def _view(view: View, shapes: list[tuple[int, ...]]) -> str:
    dtype = np.dtype(view.dtype)
    element = f"{_TYPE_CODES[dtype.kind]}, {8 * dtype.itemsize}"
    return f"{view.offset}, {len(view.shape)}, {int(view.arena)}, {element}, shape_{shapes.index(view.shape)}"


def _label(call: Call) -> str:
    """The call's name in reports: the layers whose weights it reads, if any, and the kernel."""
    return f"{', '.join(call.layers)}: {call.kernel}" if any(call.layers) else call.kernel


def _sparse(name: str, parameter: SparseParameter) -> list[str]:
    table = ", ".join(map(str, parameter.table))
    entries = parameter.values.shape[0]
    return [
        f"static const uint32_t {name.format('input_offsets')}[] = {{{table}}};",
        f"static const bpi_sparse {name.format('sparse')} = {{"
        f"{parameter.input_offsets.offset}, {parameter.rows.offset}, "
        f"{parameter.value_table.offset}, {entries}, {_STORED[parameter.values.dtype]}, "
        f"{np.dtype(parameter.input_offsets.dtype).itemsize}, "
        f"{parameter.inner}, {parameter.channel_stride}, {name.format('input_offsets')}}};",
    ]


def _floats(view: View) -> int:
    count = 1
    for extent in view.shape:
        count *= extent
    return count
