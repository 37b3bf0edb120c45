"""Writing so that a reader never sees half a file, and reading with a clear refusal."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` if the block ends well, else remove it.

    Raises InputError, before the block runs where it can be known, when `path` cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, and a file is to be written there; name another place.")
    with _scratch_beside(path) as scratch:
        temporary = scratch / path.name
        yield temporary
        _rename(temporary, path)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a whole folder: the old one is kept until the new one is complete."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, and a folder is to be written there; name another place.")
    with _scratch_beside(path) as scratch:
        fresh, retired = scratch / "fresh", scratch / "retired"
        fresh.mkdir()
        yield fresh
        if path.exists():
            _rename(path, retired)
        _rename(fresh, path)
        shutil.rmtree(retired, ignore_errors=True)


@contextlib.contextmanager
def _scratch_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the same file system, which is what makes renaming atomic."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); name another place.") from None
    with scratch as folder:
        yield Path(folder)


def _rename(source: Path, destination: Path) -> None:
    try:
        source.replace(destination)
    except OSError as error:
        raise InputError(f"{destination} cannot be written ({error.strerror}); name another place.") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` whole or not at all."""
    write_bytes(path, text.encode())


def read_bytes(path: Path, what: str) -> bytes:
    """The bytes of `path`; `what` names its role in the error. Raises InputError when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no {what} at {path}; check the path.") from None
    except OSError as error:
        raise InputError(f"The {what} {path} cannot be read ({error.strerror}).") from None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
