"""`bayespress build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import JsonFlag, print_json, show, size, step, table

if TYPE_CHECKING:
    from rich.table import Table

    from ..deploy.bundle import Manifest, TargetEntry


def build(
    packed: Annotated[Path, typer.Argument(help="Packed directory that `compress` wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Bundle to write; *.zip gives one file.", show_default="NAME.bundle"),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="What to compile for; repeat for several.")
    ] = None,
    kernels: Annotated[
        str, typer.Option(help="For layers that can be either: dense, sparse, or auto, by what it will take.")
    ] = "auto",
    explain: Annotated[bool, typer.Option("--explain", help="Say which layers run sparse, and why.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compile a packed network with TVM into a bundle that carries its own runner and its own checks.

    Example: [bold]bayespress build packed/lenet -t host -t arm64-linux -o lenet.bundle[/]

    For a certain processor: [bold]bayespress build packed/lenet -t arm64-android:cortex-a76+dotprod[/]

    `bayespress targets` lists what there is. The bundle holds the weights, the graph, golden vectors and, for each
    target, a static library with its C header and a runner: `runner weights.bpz INPUT.f32`. The ARM runner also runs on
    Android through adb.
    """
    manifest, path = run_build(packed, out, target, kernels)
    if as_json:
        print_json(manifest)
    else:
        explained = [choices_table(name, entry) for name, entry in manifest.targets.items()] if explain else []
        show(files_table(manifest), *explained, f"Next: bayespress verify {path}")


def run_build(
    packed: Path, out: Path | None = None, targets: list[str] | None = None, kernels: str = "auto"
) -> tuple[Manifest, Path]:
    """Build a bundle with its report inside; the manifest and where the bundle is."""
    from .. import codec
    from ..compress.report import report_html
    from ..deploy.build import build as build_bundle
    from ..files import read_bytes
    from ..handover import WEIGHTS, PackedRecord

    record = PackedRecord.read(packed)
    path = out or packed.with_name(f"{record.name}.bundle")
    layout = codec.layout(read_bytes(packed / WEIGHTS, "weights file"))
    manifest = build_bundle(
        packed,
        targets or ["host", "arm64-linux"],
        path,
        progress=step,
        extras={"report.html": report_html(record, layout).encode()},
        kernels=kernels,
    )
    return manifest, path


def choices_table(name: str, target: TargetEntry) -> Table:
    """Dense or sparse, layer by layer."""
    rows = [
        (each.layer, f"{each.density_percent:.1f} %", f"{each.dense_us:.2f}", f"{each.sparse_us:.2f}", each.kernel,
         each.reason)
        for each in target.layers
    ]  # fmt: skip
    return table(f"kernels of {name}", ("layer", "stored", "dense, µs", "sparse, µs", "chosen", "why"), rows)


def files_table(manifest: Manifest) -> Table:
    """What the bundle is made of."""
    rows = [(file.path, size(file.size), file.sha256[:12]) for file in manifest.files]
    return table(f"bundle of {manifest.name}", ("file", "size", "SHA-256"), rows)
