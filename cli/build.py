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
    packed: Annotated[Path, typer.Argument(help="Packed directory written by `compress`.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Bundle to write: a folder, or one file if it ends in .zip.", show_default="NAME.bundle"
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            help=f"System and processor to compile for; repeat the option for several: {targets_help()}.",
        ),
    ] = None,
    kernels: Annotated[
        str,
        typer.Option(
            help="Kernels of layers that support both: dense, sparse, or auto (the faster one by its estimated time)."
        ),
    ] = "auto",
    android: Annotated[
        Path | None,
        typer.Option(help="Also copy the bundle into this Android app (the folder android_demo).", show_default=False),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show for each layer whether its kernel is sparse, and why.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Compile a packed network with TVM into a bundle.

    Example: [bold]bayespress build packed/lenet -t host -t arm64-linux -o lenet.bundle[/]

    For a specific processor: [bold]bayespress build packed/lenet -t arm64-android:cortex-a76+dotprod[/]

    Into the Android app that shows the network: [bold]bayespress build packed/lenet --android android_demo[/]

    The bundle holds the weights, the graph, golden vectors (inputs with the outputs of PyTorch) and, for each target, a
    static library with its C header and a runner: `runner weights.bpz INPUT.f32`. Before the bundle is written, the
    golden vectors are checked in ONNX Runtime and in the compiled network. `bayespress targets` lists all targets.
    """
    from ..deploy.builder.app import APP_TARGETS, check_app, put_into_app
    from ..workflow.bundle import build_packed

    if android is not None:
        check_app(android, overwrite=overwrite)  # fail before the compilation, which takes minutes
        target = target or list(APP_TARGETS)
    manifest, path = build_packed(packed, out, target, kernels, overwrite=overwrite, progress=step)
    if android is not None:
        step(f"copied the bundle into the app: {put_into_app(path, android, overwrite=overwrite)}")
    if as_json:
        print_json(manifest)
    else:
        decisions = kernel_tables(manifest) if explain else []
        show(files_table(manifest), *decisions, f"Next: bayespress verify {shell_word(path)}")


def kernel_tables(manifest: Manifest) -> list[Table]:
    """The kernel of each layer; one table per processor and per GPU."""
    tables = []
    for name, target in manifest.targets.items():
        tables.append(_kernel_table(name, target.layers))
        if target.gpu:
            tables.append(_kernel_table(f"{name}'s GPU", target.gpu_layers))
    return tables


def _kernel_table(name: str, layers: Sequence[KernelDecisionRecord]) -> Table:
    def estimate(microseconds: float | None) -> str:
        return "" if microseconds is None else f"{microseconds:.2f}"

    rows = [
        (layer.layer, f"{layer.density_percent:.1f} %", estimate(layer.dense_us), estimate(layer.sparse_us),
         layer.kernel, layer.reason)
        for layer in layers
    ]  # fmt: skip
    return table(f"kernels of {name}", ("layer", "non-zero", "dense, µs", "sparse, µs", "kernel", "reason"), rows)


def files_table(manifest: Manifest) -> Table:
    """One row per file of the bundle."""
    rows = [(file.path, size(file.size), file.sha256[:12]) for file in manifest.files]
    return table(f"bundle of {manifest.name}", ("file", "size", "SHA-256"), rows)
