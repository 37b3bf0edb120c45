"""Report pages of run directories and packed directories."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError


def write_report(path: Path, out: Path, bench: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the page of whatever `path` is; see api.report. Returns `out`."""
    from ..files import check_input

    if out.suffix not in (".html", ".svg"):
        raise InputError(f"{out} ends in neither .html (the page) nor .svg (the picture alone); name it so.")
    check_input(path, "run directory or packed directory")
    if (path / "run.json").is_file():
        report_run(path, out, overwrite=overwrite)
    elif (path / "manifest.json").is_file():
        raise InputError(f"{path} is a bundle, whose page is {path / 'report.html'}; name a run or packed directory.")
    else:
        report_packed(path, out, bench, overwrite=overwrite)
    return out


def report_run(run: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write the page of a run directory."""
    from ..outputs import PAGE, check_output, write_output
    from ..train.report import run_report

    if out.suffix == ".svg":
        raise InputError(f"A run's report has several pictures, so {out} cannot hold it; write an .html.")
    check_output(out, PAGE, overwrite=overwrite, inputs=(run,), within=True)
    write_output(out, PAGE, run_report(run), overwrite=overwrite)


def report_packed(packed: Path, out: Path, bench: Path | None = None, *, overwrite: bool = False) -> None:
    """Write the page of a packed directory, or its picture alone."""
    from .. import codec
    from ..compress.report import report_html, summary_svg
    from ..deploy.measure.report import BenchReport
    from ..files import read_bytes
    from ..outputs import PAGE, PICTURE, check_output, write_output
    from ..packed_format import WEIGHTS, PackedRecord

    kind = PICTURE if out.suffix == ".svg" else PAGE
    inputs = (packed, bench)
    check_output(out, kind, overwrite=overwrite, inputs=inputs)
    record = PackedRecord.read(packed)
    layout = codec.layout(read_bytes(packed / WEIGHTS, "weights file"))
    latency = None if bench is None else BenchReport.read(bench)
    draw = summary_svg if out.suffix == ".svg" else report_html
    write_output(out, kind, draw(record, layout, latency), overwrite=overwrite, inputs=inputs)
