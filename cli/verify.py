"""`bayespress verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..deploy.devices.registry import devices_help
from ..errors import CheckFailedError
from .console import JsonFlag, print_json, show, step, table

if TYPE_CHECKING:
    from rich.table import Table

    from ..deploy.verify.checks import VerifyReport


def verify(
    path: Annotated[Path, typer.Argument(help="A bundle (folder or .zip) or a .bpz file.")],
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help=f"Device that runs the golden vectors; repeat the option for several devices: {devices_help()}.",
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Public key in PEM; the bundle must be signed by the owner of this key.")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Stop a run on a device after this number of seconds.")] = 300.0,
    as_json: JsonFlag = False,
) -> None:
    """Check that a bundle or a .bpz file is unchanged and that the network computes the right outputs.

    Example: [bold]bayespress verify lenet.bundle && echo fine[/]

    A .bpz is decoded by the C core and by the slow reference decoder, and the results must be equal. For a bundle,
    every hash is checked, and the golden vectors (inputs with the outputs of PyTorch) run in ONNX Runtime, in the host
    runner, and in runners for other processors if qemu-user is installed. Programs of a bundle run only after all
    hashes have matched, but a hash does not prove who built it: verify only bundles from people you trust, or give
    --key. A mismatch prints one sentence and gives exit code 1.
    """
    from ..deploy.verify.verify import verify as verify_path

    report = verify_path(path, device, progress=None if as_json else step, key=key, time_limit=time_limit)
    if as_json:
        print_json(report)
    else:
        show(checks_table(report))
    if failure := next((check for check in report.checks if check.outcome == "failed"), None):
        raise CheckFailedError(failure.detail)


def checks_table(report: VerifyReport) -> Table:
    """One row per check with its outcome and its detail, which is the reason for a skipped check."""
    rows = [(check.name, check.outcome, check.detail) for check in report.checks]
    checks = table("verification", ("check", "outcome", "detail"), rows)
    checks.columns[1].justify = checks.columns[2].justify = "left"
    return checks
