"""A packed directory to a bundle with its report page inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..text import printable

if TYPE_CHECKING:
    from ..deploy.bundle.manifest import Manifest

DEFAULT_TARGETS = ("host", "arm64-linux")


def build_packed(
    packed: Path,
    out: Path | None = None,
    targets: Sequence[str] | None = None,
    kernels: str = "auto",
    *,
    described: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _step: None,
) -> tuple[Manifest, Path]:
    """Build the bundle of the packed directory `packed`, with its report page inside.

    out       bundle to write, a folder or *.zip; None writes NAME.bundle beside `packed`
    targets   names of targets; None builds DEFAULT_TARGETS
    kernels   dense, sparse or auto; see deploy.builder.build
    described  fields of the packed record to change: name, preprocessing, labels
    progress  called with one line of text as each step begins

    Returns the manifest and the path of the bundle. Errors as in deploy.builder.build.
    """
    from .. import codec
    from ..compress.report import packed_page
    from ..deploy.builder.build import build as build_bundle
    from ..files import check_input, read_bytes
    from ..outputs import check_output
    from ..packed_format import WEIGHTS, PackedRecord
    from .kinds import bundle_kind

    check_input(packed, "packed directory")
    record = PackedRecord.read(packed).model_copy(update=dict(described or {}))
    path = out or _beside(packed, record.name)
    check_output(path, bundle_kind(path), overwrite=overwrite, inputs=(packed,))
    layout = codec.layout(read_bytes(packed / WEIGHTS, "weights file"))
    manifest = build_bundle(
        packed,
        DEFAULT_TARGETS if targets is None else targets,
        path,
        progress=progress,
        # Without its script: a bundle goes into apps, and the charts are SVG in it.
        extras={"report.html": packed_page(record, layout).html(interactive=False).encode()},
        kernels=kernels,
        described=described,
        overwrite=overwrite,
    )
    return manifest, path


def _beside(packed: Path, name: str) -> Path:
    """Where a bundle goes by default. Raises InputError for a record whose name would lead elsewhere."""
    if printable(name) != name or "/" in name or name.startswith("."):
        raise InputError(f"The packed directory's name {name!r} is no name for a file; name the bundle by --out.")
    return (packed if packed.name not in ("", "..") else packed.resolve()).with_name(f"{name}.bundle")
