"""A packed directory in, a bundle out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import codec
from ..errors import CorruptFileError, InputError
from ..files import read_bytes
from ..handover import GOLDEN, NETWORK, WEIGHTS, PackedRecord
from ..outputs import claimed, output_file, output_folder
from .bundle import (
    BUNDLE,
    GOLDEN_INPUT,
    GOLDEN_OUTPUT,
    GRAPH,
    ZIPPED_BUNDLE,
    LayerChoice,
    Manifest,
    TargetEntry,
    seal,
    write_zip,
)
from .cost import KERNELS
from .layers import Stored
from .targets import Target, target_named
from .weights import decoded_digests

if TYPE_CHECKING:
    from .aot import Compiled


def build(
    packed: Path,
    targets: Sequence[str],
    out: Path,
    *,
    progress: Callable[[str], None] | None = None,
    extras: Mapping[str, bytes] | None = None,
    kernels: str = "auto",
    overwrite: bool = False,
) -> Manifest:
    """Compile a packed directory for each target and write the bundle `out`, a folder or a *.zip.

    extras   further files of the bundle, by name
    kernels  "dense" or "sparse" for all layers that can be either; "auto" chooses for each by what either will take
    overwrite  replace another bundle at `out`; anything else that is there is never replaced

    Raises InputError for a packed directory that is incomplete or contradicts itself and for an `out` that may not be
    written, MissingToolError when a compiler or package is not there.
    """
    with claimed([(out, ZIPPED_BUNDLE if out.suffix == ".zip" else BUNDLE)], overwrite=overwrite, inputs=(packed,)):
        return _build(packed, targets, out, progress, extras, kernels, overwrite=overwrite)


def _build(
    packed: Path,
    targets: Sequence[str],
    out: Path,
    progress: Callable[[str], None] | None,
    extras: Mapping[str, bytes] | None,
    kernels: str,
    *,
    overwrite: bool,
) -> Manifest:
    """See `build`; `out` was checked and is locked."""
    from .aot import compile_network
    from .export import check_weights, load_program, onnx_graph

    tell = progress or (lambda _step: None)
    if kernels not in KERNELS:
        raise InputError(f"There are no kernels {kernels!r}; they are {', '.join(KERNELS)}.")
    chosen = [target_named(name) for name in dict.fromkeys(targets)]
    if not chosen:
        raise InputError("No target was named; give at least one, `host` for instance.")
    record = PackedRecord.read(packed)
    weights = read_bytes(packed / WEIGHTS, "weights file")
    inputs, outputs = _golden(packed, record)
    tell("reading the network")
    program = load_program(packed / NETWORK)
    tensors = codec.decode(weights)
    check_weights(program, tensors)
    stored = stored_weights(tensors)
    with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        folder = Path(scratch) / "bundle"
        (folder / "golden").mkdir(parents=True)
        (folder / WEIGHTS).write_bytes(weights)
        tell("exporting ONNX")
        (folder / GRAPH).write_bytes(onnx_graph(program))
        (folder / GOLDEN_INPUT).write_bytes(inputs.astype("<f4").tobytes())
        (folder / GOLDEN_OUTPUT).write_bytes(outputs.astype("<f4").tobytes())
        for name, data in (extras or {}).items():
            (folder / name).write_bytes(data)
        made_targets = {}
        for target in chosen:
            tell(f"compiling for {target.name}")
            between = Path(scratch) / f"between-{target.name}"
            between.mkdir()
            made = compile_network(program, target, folder / "targets" / target.folder, between, stored, kernels)
            made_targets[target.name] = _entry(target, folder, made)
        # How the weights were compressed is in the packed directory; a device has no use for it.
        shared = set(Manifest.model_fields) & set(type(record).model_fields) - {"version"}
        manifest = Manifest(
            **record.model_dump(include=shared),
            golden_examples=len(inputs), decoded=decoded_digests(tensors), targets=made_targets, files=(),
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
        layers=tuple(LayerChoice(**asdict(choice)) for choice in made.choices),
        gpu_layers=tuple(LayerChoice(**asdict(choice)) for choice in made.gpu_choices),
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
