"""Access to a bundle's files in a folder or a zip. Both are untrusted input.

The manifest is read first and defines names and sizes. A source lists the existing files and reads their bytes. It
never follows links, and it enforces the limits below whatever an archive or a folder claims.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ...errors import CorruptFileError, InputError
from ...text import printable

MOST_FILES = 4096
LARGEST_FILE = 4 << 30  # bytes
LARGEST_BUNDLE = 8 << 30  # bytes of all files together
CHUNK = 1 << 20  # bytes read at a time

RUNNABLE = 0o755  # permissions of a program
PLAIN = 0o644  # permissions of any other file


class Source(Protocol):
    """The files of a bundle, in a folder or a zip."""

    path: Path

    def names(self) -> set[str]:
        """Paths of all existing entries except folders; links are included."""
        ...

    def size(self, name: str) -> int | None:
        """Size of a regular file in bytes; None for a link, a device file or a name that does not exist."""
        ...

    def runnable(self, name: str) -> bool:
        """Whether the file's owner may execute it."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a regular file in chunks of at most CHUNK bytes."""
        ...


class FolderSource:
    """A bundle as a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> set[str]:
        """See Source.names. Raises CorruptFileError for more than MOST_FILES entries."""
        names: set[str] = set()
        pending = [self.path]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    else:
                        names.add(Path(entry.path).relative_to(self.path).as_posix())
                    if len(names) + len(pending) > MOST_FILES:
                        raise CorruptFileError(
                            f"{self.path} holds more than {MOST_FILES} files; give a bundle's folder and nothing else."
                        )
        return names

    def size(self, name: str) -> int | None:
        """See Source.size."""
        status = self._status(name)
        return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None

    def runnable(self, name: str) -> bool:
        """See Source.runnable."""
        status = self._status(name)
        return status is not None and bool(status.st_mode & stat.S_IXUSR)

    def chunks(self, name: str) -> Iterator[bytes]:
        """See Source.chunks. Does not block on a pipe or follow a link that replaced the file."""
        try:
            handle = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise CorruptFileError(
                f"{printable(name)} cannot be read ({error.strerror}); fetch or build the bundle again."
            ) from None
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise CorruptFileError(f"{printable(name)} is not a regular file; fetch or build the bundle again.")
            while chunk := stream.read(CHUNK):
                yield chunk

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return (self.path / name).lstat()
        except (OSError, ValueError):
            return None


class ZipSource:
    """A bundle as a zip. Compressed members are refused, so no member is larger than the archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._entries: dict[str, zipfile.ZipInfo] = {}
        entries = archive.infolist()
        if len(entries) > MOST_FILES:
            raise CorruptFileError(
                f"{path} holds {len(entries)} files, and a bundle has at most {MOST_FILES}; give another file."
            )
        for entry in entries:
            if entry.filename in self._entries:
                raise CorruptFileError(
                    f"{path} holds {printable(entry.filename[:100])} twice; fetch or build it again."
                )
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise CorruptFileError(
                    f"{path} is not byte for byte as it was built ({printable(entry.filename[:100])} is compressed); "
                    "fetch or build it again, or unpack it and give the folder."
                )
            self._entries[entry.filename] = entry

    def names(self) -> set[str]:
        """See Source.names."""
        return set(self._entries)

    def size(self, name: str) -> int | None:
        """See Source.size."""
        entry = self._entries.get(name)
        kind = 0 if entry is None else stat.S_IFMT(entry.external_attr >> 16)
        return entry.file_size if entry is not None and kind in (0, stat.S_IFREG) else None

    def runnable(self, name: str) -> bool:
        """See Source.runnable."""
        return name in self._entries and bool(self._entries[name].external_attr >> 16 & stat.S_IXUSR)

    def chunks(self, name: str) -> Iterator[bytes]:
        """See Source.chunks."""
        with contextlib.ExitStack() as stack:
            with zip_errors(self.path):
                stream = stack.enter_context(self._archive.open(self._entries[name]))
            while True:
                with zip_errors(self.path):
                    chunk = stream.read(CHUNK)
                if not chunk:
                    return
                yield chunk


@contextlib.contextmanager
def source_of(path: Path) -> Iterator[Source]:
    """Open the source at `path`. Raises InputError if there is none, CorruptFileError for a damaged zip."""
    if path.is_dir():
        yield FolderSource(path)
        return
    if not path.is_file():
        raise InputError(f"There is no bundle at {path}; check the path, or make one with `bayespress build`.")
    if not zipfile.is_zipfile(path) and path.suffix != ".zip":
        raise InputError(f"{path} is neither a bundle's folder nor a .zip of one; make one with `bayespress build`.")
    with contextlib.ExitStack() as stack:
        with zip_errors(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
        yield ZipSource(path, archive)


@contextlib.contextmanager
def zip_errors(path: Path) -> Iterator[None]:
    """Convert every error that zipfile raises for a damaged archive into a CorruptFileError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise CorruptFileError(
            f"{path} is not a valid zip archive ({printable(error)}); fetch or build it again."
        ) from None
