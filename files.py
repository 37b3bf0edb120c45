"""Atomic writing of files and folders with one writer at a time, and reading with clear errors.

outputs.py decides which outputs may be replaced; this module replaces them. Everything is written into a scratch folder
next to its final path, on the same file system, and renamed when it is complete. A scratch folder has the name
`.bayespress-scratch-XXXXXXXX` and is locked by the process that uses it. If a process was killed, the next command that
writes to the same folder removes its scratch folder; if the process was exchanging two folders, the old folder is
restored first.
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

StrPath: TypeAlias = str | os.PathLike[str]  # type of every path argument of the public interface

_SCRATCH = ".bayespress-scratch-"
_SCRATCH_NAME = re.compile(re.escape(_SCRATCH) + r"[a-z0-9_]{8}")
_LOCK = ".bayespress-lock-"
_RETIRED = "retired"  # folder inside a scratch folder that holds replaced entries under their own names
_YOUNG_S = 10.0  # a younger scratch folder may not be locked yet by its process
# Messages of libraries that hide the OSError of a full disk: safetensors, PyTorch, SQLite.
_DISK_FULL = re.compile(r"no space left|os error 28|disk is full|os error 27|file too large|file write failed", re.I)


@contextlib.contextmanager
def replacing_file(path: Path, *, fresh: bool = False) -> Iterator[Path]:
    """Yield a temporary path on the same file system; rename it to `path` if the block succeeds, else remove it.

    fresh  whether to refuse to replace a file that another process wrote to `path` during the block

    For an output whose path the user names, use outputs.output_file: this function replaces any file at `path`.
    Raises InputError if `path` cannot be written, if possible before the block runs.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, and the output is a file; name another path.")
    with _scratch_beside(path) as scratch:
        temporary = scratch / path.name  # some writers choose the format by the ending
        with _naming_errors(path, scratch):
            yield temporary
            _flush_to_disk(temporary)
        if fresh:
            _rename_to_new(temporary, path)
        else:
            _rename(temporary, path)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Like replacing_file, for a folder: the old folder is kept until the new one is complete.

    For an output whose path the user names, use outputs.output_folder: this function replaces any folder at `path`.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, and the output is a folder; name another path.")
    with _scratch_beside(path) as scratch:
        fresh = scratch / "new"
        fresh.mkdir()
        with _naming_errors(path, scratch):
            yield fresh
        try:
            fresh.replace(path)  # succeeds if `path` does not exist or is an empty folder
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise InputError(f"{path} cannot be written ({error.strerror}); name another path.") from None
        else:
            return
        with set_aside(path.parent, [path.name], scratch):
            _rename(fresh, path)


@contextlib.contextmanager
def set_aside(folder: Path, names: list[str], scratch: Path | None = None) -> Iterator[None]:
    """Move entries of `folder` away during the block; remove them if the block succeeds, else restore them.

    A restored entry replaces one that the block wrote under the same name. Names that do not exist are ignored.
    """
    with contextlib.ExitStack() as stack:
        retired = (scratch or stack.enter_context(_scratch_beside(folder / "entry"))) / _RETIRED
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
    """Remove a file, a link or a folder with its contents. A missing path and failures are ignored."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _scratch_beside(path: Path) -> Iterator[Path]:
    """Yield a locked temporary folder on the same file system as `path`, so that renaming is atomic."""
    with parents_of(path):
        try:
            _remove_stale(path.parent)
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=path.parent))
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); name another path.") from None
        descriptor = _try_lock(scratch, os.O_DIRECTORY)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


@contextlib.contextmanager
def parents_of(path: Path) -> Iterator[None]:
    """Create the folders above `path`; if the block fails, remove those that were created and are still empty."""
    missing = []
    parent = path.parent
    while not os.path.lexists(parent) and parent != parent.parent:
        missing.append(parent)
        parent = parent.parent
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); name another path.") from None
        yield
    except BaseException:
        for created in missing:
            with contextlib.suppress(OSError):
                created.rmdir()
        raise


def remove_abandoned(folder: Path) -> None:
    """Remove the scratch folders of killed processes in `folder`, which may not exist.

    Call it only if no other process writes into the folder, because it also removes scratch folders of any age.
    """
    with contextlib.suppress(OSError):  # the next command that writes into the folder tries again
        _remove_stale(folder, young_s=0.0)


def _remove_stale(folder: Path, *, young_s: float = _YOUNG_S) -> None:
    """Remove the scratch folders of processes that no longer exist, and first restore the entries that they moved.

    young_s  a younger scratch folder is kept, because its process may not have locked it yet; in seconds
    """
    with os.scandir(folder) as entries:
        candidates = [Path(entry.path) for entry in entries if _SCRATCH_NAME.fullmatch(entry.name)]
    for scratch in candidates:
        with contextlib.suppress(OSError):
            status = scratch.lstat()
            is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if not is_own or abs(time.time() - status.st_mtime) < young_s:
                continue
            descriptor = _try_lock(scratch, os.O_DIRECTORY)
            if descriptor is None:
                continue  # in use, or on a file system without locks, where nobody can tell
            try:
                retired = scratch / _RETIRED
                names = [old.name for old in retired.iterdir()] if retired.is_dir() else []
                # Restore all entries or none, because a mixture of old and new files is not a valid output.
                if not any(os.path.lexists(folder / name) for name in names):
                    for name in names:
                        (retired / name).rename(folder / name)
                shutil.rmtree(scratch, ignore_errors=True)
            finally:
                os.close(descriptor)


def _try_lock(path: Path, flags: int = 0) -> int | None:
    """A descriptor that holds the lock on `path`; None if another process holds it or the file system has no locks."""
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
    """Prevent other processes and threads from writing the output `path` during the block.

    The lock is an advisory lock of the system (flock) on a hidden file next to `path`, so the system releases the lock
    of a killed process. A thread may take a lock that it already holds. On a file system without locks, the block runs
    without a lock.

    Raises InputError if another process or thread is writing `path`.
    """
    resolved = path.resolve()
    held: set[Path] = _held.__dict__.setdefault("paths", set())
    if resolved in held:
        yield
        return
    lock = resolved.with_name(_LOCK + hashlib.sha256(os.fsencode(resolved.name)).hexdigest()[:16])
    with parents_of(resolved):
        descriptor = _lock_file(lock, path)
        held.add(resolved)
        try:
            yield
        finally:
            held.discard(resolved)
            if descriptor is not None:
                # Remove the file before releasing the lock, so that nobody holds a lock on a removed file.
                lock.unlink(missing_ok=True)
                os.close(descriptor)


def _lock_file(lock: Path, path: Path) -> int | None:
    """Lock the file `lock`; open it again if its previous owner removed it before it was locked."""
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); name another path.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            writer = f"process {printable(owner)}" if owner else "another process"
            raise InputError(
                f"{path} is being written by {writer}; wait until that command has ended, or name another path."
            ) from None
        except OSError:  # this file system has no locks
            os.close(descriptor)
            lock.unlink(missing_ok=True)
            return None
        try:
            current = lock.stat()
        except FileNotFoundError:
            current = None
        if current is not None and os.path.samestat(current, os.fstat(descriptor)):
            with contextlib.suppress(OSError):  # on a full disk, the error of another process cannot name this one
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            return descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _naming_errors(path: Path, scratch: Path) -> Iterator[None]:
    """Convert a failure to write into `scratch` into an InputError that names `path`."""
    try:
        yield
    except BayespressError:
        raise
    except OSError as error:
        is_other_file = error.filename is not None and not str(error.filename).startswith(str(scratch))
        if is_other_file:
            raise
        # shutil combines several errors into one without an error number.
        reason = error.strerror or ("no space left" if _DISK_FULL.search(str(error)) else reason_of(error))
        raise InputError(f"{path} cannot be written ({reason}); name another path.") from error
    except Exception as error:
        if _DISK_FULL.search(str(error)):
            raise InputError(f"{path} cannot be written (no space left); name another path.") from error
        raise


def _flush_to_disk(path: Path) -> None:
    """Write a file's data to the disk before the rename, so that a crash of the machine leaves the old or new file."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Give a file its final name. Raises InputError if the name exists."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise InputError(f"Another process has written {path} meanwhile; name another path.") from None
    except OSError:  # file systems without hard links
        if os.path.lexists(path):
            raise InputError(f"Another process has written {path} meanwhile; name another path.") from None
        _rename(temporary, path)


def _rename(source: Path, destination: Path) -> None:
    try:
        source.replace(destination)
    except OSError as error:
        raise InputError(f"{destination} cannot be written ({error.strerror}); name another path.") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` completely or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` completely or not at all."""
    write_bytes(path, text.encode())


def read_bytes(path: Path, what: str, limit: int | None = None, *, magic: bytes = b"") -> bytes:
    """The bytes of the regular file `path`.

    what   role of the file, for the error message
    limit  maximum size in bytes; by default half of the machine's memory
    magic  first bytes of a valid file; if a file begins differently, only these first bytes are read and returned, and
           the caller must refuse them

    Raises InputError if the file cannot be read, is larger than the limit, or is a folder, a device or a pipe.
    """
    most = limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        # Non-blocking, because opening a pipe without a writer would block without end.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise InputError(
                f"The {what} {path} is {_type_of(status.st_mode)}, and a regular file is needed; name another path."
            )
        with os.fdopen(descriptor, "rb") as stream:
            head = stream.read(len(magic))
            if head != magic:
                return head
            if status.st_size > most:
                raise InputError(
                    f"The {what} {path} has {status.st_size:,} bytes, and at most {most:,} are allowed; name another "
                    "file."
                )
            return head + stream.read(most)
    except FileNotFoundError:
        raise InputError(f"There is no {what} at {path}; check the path.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"The {what} {path} cannot be read ({reason}); check the path and its permissions.") from None


def check_input(path: Path, what: str) -> None:
    """Raise InputError unless `path` is a regular file or a folder.

    what  role of the path, for the error message

    A device, a pipe and a socket are refused, because reading them may never end.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"There is no {what} at {path}; check the path.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"The {what} {path} cannot be read ({reason}); check the path and its permissions.") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
            f"The {what} {path} is {_type_of(mode)}, and a regular file or a folder is needed; name another path."
        )


def _type_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "a socket"


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
