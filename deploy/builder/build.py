"""A packed directory in, a bundle out."""

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
    log = progress or (lambda _step: None)
    if kernels not in KERNELS:
        raise unknown_name("kind of kernels", kernels, KERNELS)
    chosen = [target_named(name) for name in dict.fromkeys(targets)]
    if not chosen:
        raise InputError("No target was named; give at least one, `host` for instance.")
    from .assembly import Assembly
    from .packed_network import PackedNetwork

    log("reading the network")
    network = PackedNetwork.read(packed, described)
    with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        assembly = Assembly(network, Path(scratch), kernels, log)
        assembly.check_program()
        assembly.write_files({WEIGHTS: network.weights, **(extras or {})})
        # This machine and ONNX first: what fails there need not be compiled for others.
        assembly.compile_host(keep=target_named("host") in chosen)
        assembly.export_graph()
        for target in chosen:
            assembly.compile(target)
        assembly.write_golden(half=any(target.half for target in chosen))
        manifest = assembly.seal(chosen)
        _deliver(assembly.folder, out, overwrite=overwrite)
    return manifest


def _deliver(folder: Path, out: Path, *, overwrite: bool) -> None:
    if out.suffix == ".zip":
        with output_file(out, ZIPPED_BUNDLE, overwrite=overwrite) as temporary:
            write_zip(folder, temporary)
    else:
        with output_folder(out, BUNDLE, overwrite=overwrite) as fresh:
            for path in sorted(folder.iterdir()):
                shutil.move(path, fresh / path.name)  # the scratch folder may lie on another file system
