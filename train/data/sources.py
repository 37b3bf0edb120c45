"""Where a data set's files lie: a folder that was named, or a cache that they are fetched into."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError

DATA_ENVIRONMENT = "BAYESPRESS_DATA"


def named_folder(data_dir: Path | None) -> Path | None:
    """The folder that --data-dir or BAYESPRESS_DATA names, if any."""
    if data_dir is not None:
        return data_dir
    named = os.environ.get(DATA_ENVIRONMENT)
    return Path(named) if named else None


def find_folder(name: str, given: Path, files: tuple[str, ...]) -> Path:
    """`given` or `given/name`, whichever holds one of `files`. Raises InputError when neither does."""
    for folder in (given, given / name):
        if any((folder / file).exists() for file in files):
            return folder
    raise InputError(
        f"{' or '.join(files[:2])} is neither in {given} nor in {given / name}; "
        f"point --data-dir or {DATA_ENVIRONMENT} at the folder that holds {name}."
    )


def fetched_folder(name: str, base: str, checksums: Mapping[str, str]) -> Path:
    """The cache folder with these files (name -> "md5:..."), fetched from `base` where they are not there yet.

    Raises InputError when they cannot be fetched or are not what their checksums say.
    """
    import pooch

    cache = Path(pooch.os_cache("bayespress")) / name
    fetcher = pooch.create(path=cache, base_url=base, registry=dict(checksums))
    pooch.get_logger().setLevel("WARNING")
    for file in checksums:
        try:
            fetcher.fetch(file, progressbar=False)
        except Exception as error:
            # requests raises dozens of types, pooch ValueError for a wrong checksum; all mean: not to be had.
            raise InputError(
                f"{file} of {name} cannot be fetched from {base} ({type(error).__name__}); "
                f"fetch it by hand and name its folder by --data-dir or {DATA_ENVIRONMENT}."
            ) from None
    return cache
