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
    """Yield a temporary path beside `path`; rename it over `path` if the block ends well, else remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        yield temporary
        temporary.replace(path)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a whole folder: the old one is kept until the new one is complete.

    Raises InputError before the block runs when `path` exists and is not a folder.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, and a folder is to be written there; name another place.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        fresh, retired = Path(scratch) / "fresh", Path(scratch) / "retired"
        fresh.mkdir()
        yield fresh
        if path.exists():
            path.replace(retired)
        fresh.replace(path)
        shutil.rmtree(retired, ignore_errors=True)


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
