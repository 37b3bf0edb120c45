"""The kinds of output that belong to several stages (see outputs.py)."""

from __future__ import annotations

import functools
from pathlib import Path

from ..deploy.bundle.format import BUNDLE
from ..outputs import PAGE, PICTURE, WEIGHT_FILE, Kind, record_file, record_folder
from ..packed_format import PACKED

BENCH_REPORT = record_file("a report of `bench`", ("name", "cpu", "rows", "decode_us", "start_ms", "devices"))


@functools.cache
def run_directory() -> Kind:
    """A run directory, in which `compress` and `build` put a search's storage, a packed directory and bundles."""
    from ..train.run import CHECKPOINTS, INITIAL, POSTERIOR, RECORD

    own = (POSTERIOR, INITIAL, f"{CHECKPOINTS}/*.ckpt*", f"{CHECKPOINTS}/*/events.out.tfevents.*",
           f"{CHECKPOINTS}/*/hparams.yaml", "search.db*")  # fmt: skip
    keys = ("method", "model", "data", "training", "status")
    return record_folder(
        "a run directory", RECORD, keys, lambda _record: own, inside=(PACKED, BUNDLE, PAGE, PICTURE, WEIGHT_FILE)
    )


def bundle_kind(path: Path) -> Kind:
    """A bundle as a folder, or zipped if the name asks for it."""
    from ..deploy.bundle.format import ZIPPED_BUNDLE

    return ZIPPED_BUNDLE if path.suffix == ".zip" else BUNDLE
