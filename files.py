"""Writing so that a reader never sees half a file, one writer at a time, and reading with a clear refusal.

Which outputs may be replaced at all is decided in outputs.py; here is how. Everything is written into a scratch folder
beside its final place, on the same file system, and renamed when it is whole. A scratch folder is called
`.bayespress-scratch-XXXXXXXX` and is locked by the process that uses it. One that a killed process left behind is
removed by the next command that writes beside it; if that process died while it exchanged two folders, the old folder
is put back first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from .errors import BayespressError, InputError, reason_of
from .text import printable

StrPath: TypeAlias = str | os.PathLike[str]  # what every public function takes for a path

_SCRATCH = ".bayespress-scratch-"
_SCRATCH_NAME = re.compile(re.escape(_SCRATCH) + r"[a-z0-9_]{8}")
_LOCK = ".bayespress-lock-"
_RETIRED = "retired"  # in a scratch folder: what is being replaced, under its own name
_YOUNG_S = 10.0  # a scratch folder may be this old before its process has locked it
# How libraries that hide OSError report a disk that takes no more: safetensors, PyTorch, SQLite.
_DISK_FULL = re.compile(r"no space left|os error 28|disk is full|os error 27|file too large|file write failed", re.I)


@contextlib.contextmanager
def replacing_file(path: Path, *, fresh: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block ends well, else remove it.

    fresh  refuse to replace what another process put at `path` meanwhile

    For a file that a command was asked to write, use outputs.output_file: this replaces whatever file is there.
    Raises InputError, before the block runs where it can be known, when `path` cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, and a file is to be written there; name another place.")
    with _scratch_beside(path) as scratch:
        temporary = scratch / path.name  # some writers look at the ending
        with _naming_errors(path, scratch):
            yield temporary
            _flush_to_disk(temporary)
        if fresh:
            _place(temporary, path)
        else:
            _rename(temporary, path)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a whole folder: the old one is kept until the new one is complete.

    For a folder that a command was asked to write, use outputs.output_folder: this replaces any folder.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, and a folder is to be written there; name another place.")
    with _scratch_beside(path) as scratch:
        fresh = scratch / "new"
        fresh.mkdir()
        with _naming_errors(path, scratch):
            yield fresh
        try:
            fresh.replace(path)  # works where nothing or an empty folder is
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise InputError(f"{path} cannot be written ({error.strerror}); name another place.") from None
        else:
            return
        with set_aside(path.parent, [path.name], scratch):
            _rename(fresh, path)


@contextlib.contextmanager
def set_aside(folder: Path, names: list[str], scratch: Path | None = None) -> Iterator[None]:
    """Move entries of `folder` out of the way for the block; remove them if it ends well, else put them back.

    An entry that the block itself wrote anew is then replaced by the old one. Names that do not exist are passed over.
    """
    with contextlib.ExitStack() as stack:
        place = scratch or stack.enter_context(_scratch_beside(folder / "entry"))
        retired = place / _RETIRED
        retired.mkdir(exist_ok=True)
        moved = []
        try:
            for name in names:
                if os.path.lexists(folder / name):
                    _rename(folder / name, retired / name)
                    moved.append(name)
            yield
        except BaseException:
            for name in moved:
                remove(folder / name)
                _rename(retired / name, folder / name)
            raise
        for name in moved:
            remove(retired / name)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder that may or may not be there; what cannot be removed is left."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _scratch_beside(path: Path) -> Iterator[Path]:
    """A locked temporary folder on the same file system, which is what makes renaming atomic."""
    with parents_of(path):
        try:
            _remove_stale(path.parent)
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=path.parent))
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); name another place.") from None
        descriptor = _try_lock(scratch, os.O_DIRECTORY)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


@contextlib.contextmanager
def parents_of(path: Path) -> Iterator[None]:
    """Make the folders above `path`; if the block fails, remove those that were made and are still empty."""
    missing = []
    parent = path.parent
    while not os.path.lexists(parent) and parent != parent.parent:
        missing.append(parent)
        parent = parent.parent
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); name another place.") from None
        yield
    except BaseException:
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left in `folder`; for a caller whom nobody else writes beside. None may be there."""
    with contextlib.suppress(OSError):  # what cannot be read is left for whoever writes there
        _remove_stale(folder, young_s=0.0)


def _remove_stale(folder: Path, *, young_s: float = _YOUNG_S) -> None:
    """Remove scratch folders whose process is gone, and first put back what it had set aside."""
    with os.scandir(folder) as entries:
        found = [Path(each.path) for each in entries if _SCRATCH_NAME.fullmatch(each.name)]
    for scratch in found:
        with contextlib.suppress(OSError):
            status = scratch.lstat()
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if not ours or abs(time.time() - status.st_mtime) < young_s:
                continue
            descriptor = _try_lock(scratch, os.O_DIRECTORY)
            if descriptor is None:
                continue  # in use, or on a file system without locks, where this cannot be known
            try:
                retired = scratch / _RETIRED
                names = [old.name for old in retired.iterdir()] if retired.is_dir() else []
                # All or none: parts of two records make no record.
                if not any(os.path.lexists(folder / name) for name in names):
                    for name in names:
                        (retired / name).rename(folder / name)
                shutil.rmtree(scratch, ignore_errors=True)
            finally:
                os.close(descriptor)


def _try_lock(path: Path, flags: int = 0) -> int | None:
    """A descriptor that holds the lock on `path`, or None where another process has it or there are no locks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


_held = threading.local()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes and threads from writing the output `path` during the block.

    The lock is an advisory one of the system (flock) on a hidden file beside `path`, so one that a killed process held
    is free again. A thread may take a lock that it holds already. On a file system without locks the block just runs.

    Raises InputError when somebody else writes `path`.
    """
    whole = path.resolve()
    mine: set[Path] = _held.__dict__.setdefault("paths", set())
    if whole in mine:
        yield
        return
    place = whole.with_name(_LOCK + hashlib.sha256(os.fsencode(whole.name)).hexdigest()[:16])
    with parents_of(whole):
        descriptor = _lock_file(place, path)
        mine.add(whole)
        try:
            yield
        finally:
            mine.discard(whole)
            if descriptor is not None:
                # Before the lock goes, so that nobody holds a lock on a file that is gone.
                place.unlink(missing_ok=True)
                os.close(descriptor)


def _lock_file(place: Path, path: Path) -> int | None:
    """Lock `place`, which may be removed by its last owner between opening and locking it."""
    while True:
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); name another place.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            who = f"process {printable(owner)}" if owner else "another process"
            raise InputError(
                f"{path} is being written by {who}; wait until that command has ended, or name another place."
            ) from None
        except OSError:  # no locks on this file system
            os.close(descriptor)
            place.unlink(missing_ok=True)
            return None
        try:
            current = place.stat()
        except FileNotFoundError:
            current = None
        if current is not None and os.path.samestat(current, os.fstat(descriptor)):
            with contextlib.suppress(OSError):  # on a full disk, a waiting process does not learn who has it
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            return descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _naming_errors(path: Path, scratch: Path) -> Iterator[None]:
    """Turn a failure to write into `scratch` into an InputError that names `path`."""
    try:
        yield
    except BayespressError:
        raise
    except OSError as error:
        of_another = error.filename is not None and not str(error.filename).startswith(str(scratch))
        if of_another:
            raise
        # shutil gathers errors in one without a number.
        reason = error.strerror or ("no space left" if _DISK_FULL.search(str(error)) else reason_of(error))
        raise InputError(f"{path} cannot be written ({reason}); name another place.") from error
    except Exception as error:
        if _DISK_FULL.search(str(error)):
            raise InputError(f"{path} cannot be written (no space left); name another place.") from error
        raise


def _flush_to_disk(path: Path) -> None:
    """See that the data are on the disk before the name is: a crash of the machine then leaves the old or the new."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _place(temporary: Path, path: Path) -> None:
    """Give a file its final name, which nothing may have yet."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise InputError(f"{path} was written by another process meanwhile; name another place.") from None
    except OSError:  # file systems without hard links
        if os.path.lexists(path):
            raise InputError(f"{path} was written by another process meanwhile; name another place.") from None
        _rename(temporary, path)


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


def read_bytes(path: Path, what: str, limit: int | None = None, *, magic: bytes = b"") -> bytes:
    """The bytes of the regular file `path`; `what` names its role in the error.

    limit  the most bytes that are read; by default half of the machine's memory
    magic  how a sound file begins: of one that begins otherwise no more is read and returned than its first bytes,
           for the caller to refuse

    Raises InputError when it cannot be read, is larger, or is a folder, or a device or pipe, which might not end.
    """
    most = limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        # Not blocking: opening a pipe that nobody writes into would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise InputError(
                f"The {what} {path} is {_sort_of(status.st_mode)}, and a regular file is needed; name one."
            )
        with os.fdopen(descriptor, "rb") as stream:
            head = stream.read(len(magic))
            if head != magic:
                return head
            if status.st_size > most:
                raise InputError(
                    f"The {what} {path} has {status.st_size:,} bytes, and at most {most:,} are read; name another."
                )
            return head + stream.read(most)
    except FileNotFoundError:
        raise InputError(f"There is no {what} at {path}; check the path.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"The {what} {path} cannot be read ({reason}); check the path and its permissions.") from None


def check_input(path: Path, what: str) -> None:
    """See that something is at `path` whose reading comes to an end: a regular file or a folder.

    Raises InputError for what is absent, cannot be reached, or is a device, a pipe or a socket.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"There is no {what} at {path}; check the path.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"The {what} {path} cannot be read ({reason}); check the path and its permissions.") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"The {what} {path} is {_sort_of(mode)}, and a regular file or a folder is needed; name one.")


def _sort_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "a socket"


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
