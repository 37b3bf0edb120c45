"""`bayespress build`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..deploy.compile.targets import targets_help
from ..text import shell_word
from .console import JsonFlag, Overwrite, print_json, show, size, step, table

if TYPE_CHECKING:
    from rich.table import Table

    from ..deploy.bundle.manifest import KernelDecisionRecord, Manifest


def build(
    packed: Annotated[Path, typer.Argument(help="Packed directory that `compress` wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Bundle to write; *.zip gives one file.", show_default="NAME.bundle"),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", "-t", help=f"What to compile for; repeat for several: {targets_help()}."),
    ] = None,
    kernels: Annotated[
        str, typer.Option(help="For layers that can be either: dense, sparse, or auto, by what it will take.")
    ] = "auto",
    android: Annotated[
        Path | None,
        typer.Option(help="Put it into this app, the folder android_demo, too.", show_default=False),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say which layers run sparse, and why.")] = False,
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Compile a packed network with TVM into a bundle that carries its own runner and its own checks.

    Example: [bold]bayespress build packed/lenet -t host -t arm64-linux -o lenet.bundle[/]

    For a certain processor: [bold]bayespress build packed/lenet -t arm64-android:cortex-a76+dotprod[/]

    Into the app that shows it on a phone: [bold]bayespress build packed/lenet --android android_demo[/]

    `bayespress targets` lists what there is. The bundle holds the weights, the graph, golden vectors and, for each
    target, a static library with its C header and a runner: `runner weights.bpz INPUT.f32`. The ARM runner also runs on
    Android through adb.
    """
    from ..deploy.builder.app import APP_TARGETS, check_app, put_into_app
    from ..workflow.bundle import build_packed

    if android is not None:
        check_app(android, overwrite=overwrite)  # before minutes of compiling
        target = target or list(APP_TARGETS)
    manifest, path = build_packed(packed, out, target, kernels, overwrite=overwrite, progress=step)
    if android is not None:
        step(f"the app has it: {put_into_app(path, android, overwrite=overwrite)}")
    if as_json:
        print_json(manifest)
    else:
        explained = choices_tables(manifest) if explain else []
        show(files_table(manifest), *explained, f"Next: bayespress verify {shell_word(path)}")


def choices_tables(manifest: Manifest) -> list[Table]:
    """Dense or sparse, layer by layer; a table for each processor and each GPU."""
    tables = []
    for name, target in manifest.targets.items():
        tables.append(_choices_table(name, target.layers))
        if target.gpu:
            tables.append(_choices_table(f"{name}'s GPU", target.gpu_layers))
    return tables


def _choices_table(name: str, layers: Sequence[KernelDecisionRecord]) -> Table:
    def expected(microseconds: float | None) -> str:
        return "" if microseconds is None else f"{microseconds:.2f}"

    rows = [
        (each.layer, f"{each.density_percent:.1f} %", expected(each.dense_us), expected(each.sparse_us), each.kernel,
         each.reason)
        for each in layers
    ]  # fmt: skip
    return table(f"kernels of {name}", ("layer", "stored", "dense, µs", "sparse, µs", "chosen", "why"), rows)


def files_table(manifest: Manifest) -> Table:
    """What the bundle is made of."""
    rows = [(file.path, size(file.size), file.sha256[:12]) for file in manifest.files]
    return table(f"bundle of {manifest.name}", ("file", "size", "SHA-256"), rows)
