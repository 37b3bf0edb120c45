"""A packed directory in, a bundle out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ... import codec
from ...errors import CorruptFileError, InputError, unknown_name
from ...files import read_bytes
from ...outputs import claimed, output_file, output_folder
from ...packed_format import GOLDEN, NETWORK, WEIGHTS, PackedRecord
from ..bundle.format import (
    BUNDLE,
    GOLDEN_HALF,
    GOLDEN_INPUT,
    GOLDEN_OUTPUT,
    GOLDEN_TOLERANCE,
    GRAPH,
    ZIPPED_BUNDLE,
    KernelDecisionRecord,
    Manifest,
    TargetEntry,
    seal,
    write_zip,
)
from ..bundle.weights import decoded_digests
from ..compile.cost import KERNELS
from ..compile.layers import Stored
from ..compile.targets import Target, target_named

if TYPE_CHECKING:
    from ..compile.aot import Compiled


def build(
    packed: Path,
    targets: Sequence[str],
    out: Path,
    *,
    progress: Callable[[str], None] | None = None,
    extras: Mapping[str, bytes] | None = None,
    kernels: str = "auto",
    described: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Compile a packed directory for each target and write the bundle `out`, a folder or a *.zip.

    Before it is written, the golden vectors run through the exported network in PyTorch, through the ONNX graph and
    through the code for this machine, which is compiled for the purpose where no target is `host`.

    extras   further files of the bundle, by name
    kernels  "dense" or "sparse" for all layers that can be either; "auto" chooses for each by what either will take
    described  fields of the packed directory's record to change: name, preprocessing, labels
    overwrite  replace another bundle at `out`; anything else that is there is never replaced

    Raises InputError for a packed directory that is incomplete or contradicts itself and for an `out` that may not be
    written, MissingToolError when a compiler or package is not there, CheckFailedError when an output of the golden
    vectors differs from PyTorch's by more than tolerance.py allows; nothing is written then.
    """
    with claimed([(out, ZIPPED_BUNDLE if out.suffix == ".zip" else BUNDLE)], overwrite=overwrite, inputs=(packed,)):
        return _build(packed, targets, out, progress, extras, kernels, described or {}, overwrite=overwrite)


def _build(
    packed: Path,
    targets: Sequence[str],
    out: Path,
    progress: Callable[[str], None] | None,
    extras: Mapping[str, bytes] | None,
    kernels: str,
    described: Mapping[str, Any],
    *,
    overwrite: bool,
) -> Manifest:
    """See `build`; `out` was checked and is locked."""
    from ..compile.aot import compile_network
    from ..program.export import check_interface, check_weights, load_program, onnx_graph
    from ..verify.sessions import program_function
    from ..verify.tolerance import allowed_difference
    from .golden_check import GoldenCheck

    log = progress or (lambda _step: None)
    if kernels not in KERNELS:
        raise unknown_name("kind of kernels", kernels, KERNELS)
    chosen = [target_named(name) for name in dict.fromkeys(targets)]
    if not chosen:
        raise InputError("No target was named; give at least one, `host` for instance.")
    record = PackedRecord.read(packed).model_copy(update=dict(described))
    weights = read_bytes(packed / WEIGHTS, "weights file")
    inputs, outputs = _golden(packed, record)
    log("reading the network")
    program = load_program(packed / NETWORK)
    check_interface(program)
    tensors = codec.decode(weights)
    check_weights(program, tensors)
    stored = stored_weights(tensors)
    log("checking the exported network")
    function = program_function(program)
    golden = GoldenCheck(program, inputs, outputs, allowed_difference(function, inputs, outputs))
    golden.check_program()
    with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        folder = Path(scratch) / "bundle"
        (folder / "golden").mkdir(parents=True)
        (folder / WEIGHTS).write_bytes(weights)
        for name, data in (extras or {}).items():
            (folder / name).write_bytes(data)

        def compiled(target: Target, into: Path) -> Compiled:
            log(f"compiling for {target.name}")
            between = Path(tempfile.mkdtemp(prefix="between-", dir=scratch))
            made = compile_network(program, target, into, between, stored, kernels)
            if target.name == "host":
                log("checking the compiled network")
                golden.check_compiled(made.runner, folder / WEIGHTS, between)
            return made

        # This machine and ONNX first: what fails there need not be compiled for others.
        host = target_named("host")
        made = {host.name: compiled(host, _folder_of(host, folder) if host in chosen else Path(scratch) / "host")}
        log("exporting ONNX")
        graph = onnx_graph(program)
        (folder / GRAPH).write_bytes(graph)
        log("checking ONNX")
        golden.check_graph(graph, {tensor.name: tensor.values() for tensor in tensors})
        made |= {target.name: compiled(target, _folder_of(target, folder)) for target in chosen if target != host}
        vectors = {GOLDEN_INPUT: inputs, GOLDEN_OUTPUT: outputs, GOLDEN_TOLERANCE: golden.allowed}
        if any(target.half for target in chosen):
            vectors[GOLDEN_HALF] = allowed_difference(function, inputs, outputs, half=True)
        for name, values in vectors.items():
            (folder / name).write_bytes(values.astype("<f4").tobytes())
        # How the weights were compressed is in the packed directory; a device has no use for it.
        shared = set(Manifest.model_fields) & set(type(record).model_fields) - {"version"}
        manifest = Manifest(
            **record.model_dump(include=shared),
            golden_examples=len(inputs), decoded=decoded_digests(tensors), files=(),
            targets={target.name: _entry(target, folder, made[target.name]) for target in chosen},
        )  # fmt: skip
        manifest = seal(folder, manifest)
        _deliver(folder, out, overwrite=overwrite)
    return manifest


def stored_weights(tensors: Sequence[codec.Tensor]) -> dict[str, Stored]:
    """What of a `.bpz` decodes to sparse rows, by name, and how its values are kept on the device."""
    stored = {}
    for tensor in tensors:
        if isinstance(tensor, codec.QuantizedTensor):
            few = tensor.levels.size > 0 and tensor.levels.min() >= -128 and tensor.levels.max() <= 127
            levels = "int8" if isinstance(tensor.value_map, codec.Grid) else "uint8"
            kind = levels if few else "float32"
            stored[tensor.name] = Stored(int(np.count_nonzero(tensor.levels)), kind)
    return stored


def _folder_of(target: Target, folder: Path) -> Path:
    return folder / "targets" / target.folder


def _entry(target: Target, folder: Path, made: Compiled) -> TargetEntry:
    def inside(path: Path) -> str:
        return path.relative_to(folder).as_posix()

    return TargetEntry(
        machine=target.machine,
        runner=inside(made.runner),
        archive=inside(made.archive),
        header=inside(made.header),
        library=None if made.library is None else inside(made.library),
        android=target.android,
        gpu=target.gpu is not None,
        layers=tuple(KernelDecisionRecord(**asdict(decision)) for decision in made.decisions),
        gpu_layers=tuple(KernelDecisionRecord(**asdict(decision)) for decision in made.gpu_decisions),
        half=target.half,
    )


def _golden(packed: Path, record: PackedRecord) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Golden inputs and outputs, checked against the record."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = packed / GOLDEN
    if not path.is_file():
        raise InputError(f"There are no golden vectors at {path}; compress again.")
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(f"{path} is not a whole safetensors file ({error}); compress again.") from None
    for name, shape in (("input", record.input_shape), ("output", record.output_shape)):
        array = arrays.get(name)
        if array is None or array.dtype != np.float32 or array.shape[1:] != shape or len(array) == 0:
            raise InputError(f"{path} has no float32 `{name}` of shape (n, {str(shape)[1:-1]}); compress again.")
        if not np.isfinite(array).all():
            raise InputError(f"The golden {name} in {path} holds NaN or infinite values; mend the network first.")
    if len(arrays["input"]) != len(arrays["output"]):
        raise InputError(
            f"{path} has {len(arrays['input'])} inputs and {len(arrays['output'])} outputs; compress again."
        )
    return arrays["input"], arrays["output"]


def _deliver(folder: Path, out: Path, *, overwrite: bool) -> None:
    if out.suffix == ".zip":
        with output_file(out, ZIPPED_BUNDLE, overwrite=overwrite) as temporary:
            write_zip(folder, temporary)
    else:
        with output_folder(out, BUNDLE, overwrite=overwrite) as fresh:
            for path in sorted(folder.iterdir()):
                _move(path, fresh / path.name)


def _move(source: Path, destination: Path) -> None:
    import shutil

    shutil.move(source, destination)  # the scratch folder may lie on another file system
