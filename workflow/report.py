"""Report pages: which page belongs to what is at a path, and writing it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..codec.layout import FileLayout
    from ..deploy.measure.report import BenchReport
    from ..html_report.page import Page
    from ..packed_format import PackedRecord

_WHAT = "run directory, packed directory, bundle or bench report"


def write_report(path: Path, out: Path, bench: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the page of whatever `path` is, or its picture where `out` ends in .svg; see api.report. Returns `out`.

    Raises InputError for a path that has no page, for an ending of `out` other than these two, where `out` may not be
    written, and for a bench report that is of no use there; CorruptFileError for files that are damaged.
    """
    from ..files import check_input
    from ..outputs import PAGE, PICTURE, check_output, write_output

    if out.suffix not in (".html", ".svg"):
        raise InputError(f"{out} ends in neither .html (the page) nor .svg (the picture alone); name it so.")
    check_input(path, _WHAT)
    is_run = (path / "run.json").is_file()
    kind, inputs = PICTURE if out.suffix == ".svg" else PAGE, (path, bench)
    check_output(out, kind, overwrite=overwrite, inputs=inputs, within=is_run)
    text = _picture_of(path, out, bench) if out.suffix == ".svg" else page_of(path, bench).html()
    write_output(out, kind, text, overwrite=overwrite, inputs=(bench,) if is_run else inputs)
    return out


def page_of(path: Path, bench: Path | None = None) -> Page:
    """The page of a run directory, a packed directory, a bundle or a bench report.

    bench  a bench report, for the latencies of a packed directory or a bundle

    Raises InputError and CorruptFileError as write_report does.
    """
    if (path / "run.json").is_file():
        from ..train.report import run_page

        _refuse_bench(bench, path, "a run directory")
        return run_page(path)
    if (path / "packed.json").is_file():
        from ..compress.report import packed_page

        return packed_page(*_packed(path), _latency(bench))
    if (path / "manifest.json").is_file() or (path.is_file() and zipfile.is_zipfile(path)):
        from ..deploy.bundle.format import opened
        from ..deploy.bundle.page import bundle_page

        with opened(path) as bundle:
            return bundle_page(bundle.manifest, _latency(bench), signed=bundle.signature is not None)
    if path.suffix == ".json" and path.is_file():
        from ..deploy.measure.picture import bench_page
        from ..deploy.measure.report import BenchReport

        _refuse_bench(bench, path, "a bench report itself")
        return bench_page(BenchReport.read(path))
    raise InputError(f"{path} is no {_WHAT}, so it has no page; name what train, compress, build or bench -o wrote.")


def _picture_of(path: Path, out: Path, bench: Path | None) -> str:
    """The picture of a packed directory or of a bench report."""
    if (path / "packed.json").is_file():
        from ..compress.report import packed_picture

        return packed_picture(*_packed(path), _latency(bench))
    if path.suffix == ".json" and path.is_file():
        from ..deploy.measure.picture import bench_picture
        from ..deploy.measure.report import BenchReport

        _refuse_bench(bench, path, "a bench report itself")
        return bench_picture(BenchReport.read(path))
    raise InputError(
        f"Only a packed directory and a bench report have a picture, and {path} is neither, so {out} cannot hold its "
        "page; write an .html."
    )


def _packed(path: Path) -> tuple[PackedRecord, FileLayout]:
    from .. import codec
    from ..files import read_bytes
    from ..packed_format import WEIGHTS, PackedRecord

    return PackedRecord.read(path), codec.layout(read_bytes(path / WEIGHTS, "weights file"))


def _latency(bench: Path | None) -> BenchReport | None:
    from ..deploy.measure.report import BenchReport

    return None if bench is None else BenchReport.read(bench)


def _refuse_bench(bench: Path | None, path: Path, what: str) -> None:
    """Raises InputError where a bench report was given for a page that shows no latency beside it."""
    if bench is not None:
        raise InputError(f"{path} is {what}, and takes no bench report beside it; leave {bench} out.")
