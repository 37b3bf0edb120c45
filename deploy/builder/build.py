"""The command `build`: compile a packed directory and write a bundle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, unknown_name
from ...outputs import claimed, output_file, output_folder
from ...packed_format import WEIGHTS
from ..bundle.format import BUNDLE, ZIPPED_BUNDLE, write_zip
from ..compile.cost import KERNELS
from ..compile.targets import target_named

if TYPE_CHECKING:
    from ..bundle.manifest import Manifest


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

    Before the bundle is written, the golden vectors run through the exported network in PyTorch, through the ONNX graph
    and through code for this machine, which is also compiled if `host` is not one of the targets.

    progress   called with a line of text before each step
    extras     additional files of the bundle, by name
    kernels    "dense" or "sparse" for all layers that support both; "auto" chooses the faster one for each layer by its
               estimated time
    described  fields of the packed directory's record to replace: name, preprocessing, labels
    overwrite  whether to replace another bundle at `out`; a file or folder of another kind is never replaced

    Raises InputError if the packed directory is incomplete or inconsistent, or if `out` may not be written,
    MissingToolError if a compiler or a package is missing, CheckFailedError if an output of the golden vectors differs
    from PyTorch's by more than tolerance.py allows. After an error nothing is written.
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
    """See `build`; the caller has checked and locked `out`."""
    log = progress or (lambda _step: None)
    if kernels not in KERNELS:
        raise unknown_name("kind of kernels", kernels, KERNELS)
    chosen = [target_named(name) for name in dict.fromkeys(targets)]
    if not chosen:
        raise InputError("The list of targets is empty; give at least one, for example `host`.")
    from .assembly import Assembly
    from .packed_network import PackedNetwork

    log("reading the network")
    network = PackedNetwork.read(packed, described)
    with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        assembly = Assembly(network, Path(scratch), kernels, log)
        assembly.check_program()
        assembly.write_files({WEIGHTS: network.weights, **(extras or {})})
        # Check this machine and ONNX first: if a check fails, the other targets need not be compiled.
        assembly.compile_host(keep=target_named("host") in chosen)
        assembly.export_graph()
        for target in chosen:
            assembly.compile(target)
        assembly.write_golden(half=any(target.half for target in chosen))
        manifest = assembly.seal(chosen)
        _write_bundle(assembly.folder, out, overwrite=overwrite)
    return manifest


def _write_bundle(folder: Path, out: Path, *, overwrite: bool) -> None:
    if out.suffix == ".zip":
        with output_file(out, ZIPPED_BUNDLE, overwrite=overwrite) as temporary:
            write_zip(folder, temporary)
    else:
        with output_folder(out, BUNDLE, overwrite=overwrite) as fresh:
            for path in sorted(folder.iterdir()):
                shutil.move(path, fresh / path.name)  # the temporary folder may be on another file system
