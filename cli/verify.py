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
            help=f"Device to run the golden vectors on; repeat for several: {devices_help()}.",
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Public key in PEM; the bundle has to be signed by its owner.")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Stop a run on a device after so many seconds.")] = 300.0,
    as_json: JsonFlag = False,
) -> None:
    """Check every hash, the decoded weights and the golden vectors.

    Example: [bold]bayespress verify lenet.bundle && echo fine[/]

    A .bpz is decoded twice, by the C core and by the slow reference decoder. A bundle is also run: through ONNX
    Runtime and its host runner, and through its ARM runner where qemu-aarch64 is installed. Its programs are run
    only after all hashes have matched; still, verify only bundles from people you trust, which --key makes sure of.
    Exit code 1 and one sentence on any mismatch.
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
    """Every check with its outcome, the skipped ones with the reason."""
    rows = [(check.name, check.outcome, check.detail) for check in report.checks]
    made = table("verification", ("check", "outcome", "detail"), rows)
    made.columns[1].justify = made.columns[2].justify = "left"
    return made
