"""The errors that a user may see, each with its exit code on the command line.

A message is one sentence with the offending value, the expectation and the remedy. `in_one_sentence` converts every
other exception that reaches the command line into one of these errors; an unknown exception is a defect of bayespress.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path

from .extras import install_remedy
from .text import printable


class ExitCode(IntEnum):
    """The exit status of a command. The numbers are part of the public interface and never change.

    DONE          the command succeeded
    CHECK_FAILED  a check that the user requested failed
    BAD_INPUT     wrong usage or input, or a limit of the file system or of memory
    MISSING_TOOL  a device, tool or package is missing
    DEFECT        an unexpected exception: EX_SOFTWARE of sysexits.h
    HANGUP        the terminal was closed: 128 + SIGHUP, as shells report it
    INTERRUPTED   Ctrl-C: 128 + SIGINT
    NO_READER     the reader of the output closed the pipe, as `head` does: 128 + SIGPIPE
    TERMINATED    ended by `kill`, `timeout` or a batch system: 128 + SIGTERM
    """

    DONE = 0
    CHECK_FAILED = 1
    BAD_INPUT = 2
    MISSING_TOOL = 3
    DEFECT = 70
    HANGUP = 129
    INTERRUPTED = 130
    NO_READER = 141
    TERMINATED = 143


class BayespressError(Exception):
    """Base class of all errors of this package."""

    exit_code: ExitCode = ExitCode.BAD_INPUT


class InputError(BayespressError):
    """A file, a value or an option is invalid."""


class CorruptFileError(InputError):
    """The bytes of a file contradict its format or its checksum."""


class CheckFailedError(BayespressError):
    """A check that the user requested failed."""

    exit_code = ExitCode.CHECK_FAILED


class MissingToolError(BayespressError):
    """A device, a compiler or an optional package is missing."""

    exit_code = ExitCode.MISSING_TOOL


class MissingPackageError(MissingToolError):
    """A Python package cannot be imported.

    package  import name of the package
    reason   message of the failed import
    extra    the extra to recommend if several extras install the package
    """

    def __init__(self, package: str, reason: str, extra: str = "") -> None:
        self.package, self.reason = package, reason
        remedy = install_remedy(package, extra)
        super().__init__(f"The package {package or 'that this command needs'} cannot be imported ({reason}); {remedy}.")

    def naming(self, extra: str) -> MissingPackageError:
        """The same error with `extra` as the remedy if that extra installs the package."""
        return MissingPackageError(self.package, self.reason, extra)


class Interrupted(BayespressError):  # noqa: N818 - not an error
    """Ctrl-C, SIGTERM or SIGHUP ended the work. The message names the kept results and the command that continues."""

    exit_code = ExitCode.INTERRUPTED


class DefectError(BayespressError):
    """An unexpected exception inside bayespress."""

    exit_code = ExitCode.DEFECT


_MOST_LISTED = 40  # names in one message
DEBUG = "BAYESPRESS_DEBUG"  # if this environment variable is set, every error is printed with its traceback


@contextlib.contextmanager
def user_code(what: str) -> Iterator[None]:
    """Convert an exception of the user's code inside the block into an InputError of one sentence.

    what  name of the code, as "the model nets:Small" or "the loss"

    A BayespressError and Ctrl-C pass through unchanged. The original exception is the cause of the InputError.
    """
    try:
        yield
    except (BayespressError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a SystemExit of the user's code must not end this process
        raise InputError(
            f"{what[:1].upper()}{what[1:]} raised {type(error).__name__}: {reason_of(error)}; correct that code."
        ) from error


def unknown_name(kind: str, name: str, known: Iterable[str], otherwise: str = "") -> InputError:
    """The error for a name that is not in `known`; the message suggests the nearest names.

    kind       kind of the name, as "setting of compression"
    otherwise  alternative to the known names, as "your own as module:callable"

    >>> str(unknown_name("kind of kernels", "spare", ["auto", "dense", "sparse"]))
    "There is no kind of kernels 'spare' (did you mean sparse?); choose one of auto, dense, sparse."
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, 2, 0.5)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    listed = [*names[:_MOST_LISTED], *([] if len(names) <= _MOST_LISTED else [f"{len(names) - _MOST_LISTED} more"])]
    choices = ", ".join([*listed, *([f"or {otherwise}"] if otherwise else [])])
    return InputError(f"There is no {kind} {printable(name)[:200]!r}{hint}; choose one of {choices}.")


def reason_of(error: BaseException) -> str:
    """The message of an exception on one line without a full stop, to be quoted in an error of this package.

    For a pydantic ValidationError it is the first invalid field and the reason.
    """
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"  # untrusted keys of the file
        return printable(f"{field[:200]}: {first['msg']}")
    lines = str(error).strip().splitlines()
    return printable(lines[0]).rstrip(".") if lines else type(error).__name__


# Remedies for errors of the operating system, by error number.
_REMEDIES = {
    errno.ENOSPC: "free some space, or name another path",
    errno.EDQUOT: "free some space, or name another path",
    errno.EFBIG: "name a path on a file system that allows larger files",
    errno.EACCES: "check its permissions, or name another path",
    errno.EPERM: "check its permissions, or name another path",
    errno.EROFS: "name a path on a writable file system",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "correct the symbolic links, which form a loop",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EIO: "check the disk",
}


def in_one_sentence(error: BaseException) -> BayespressError:
    """Convert any exception into an error of this package, with its sentence and exit code.

    The command line calls this last. A stage that knows the reason raises a more precise error itself.
    """
    if isinstance(error, BayespressError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("Interrupted; outputs are written completely or not at all, so no output is incomplete.")
    if isinstance(error, ImportError):
        return missing_package(error)
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return InputError("There is not enough memory for this; close other programs, or use a smaller input.")
    if isinstance(error, RecursionError):
        return InputError("The input is nested too deeply to be processed; use an input with fewer levels.")
    if isinstance(error, UnicodeError):
        return InputError(f"A text has characters that cannot be read or written ({reason_of(error)}); use UTF-8.")
    if isinstance(error, ConnectionError | TimeoutError):
        return MissingToolError(f"A connection failed ({reason_of(error)}); check the address and the network.")
    if isinstance(error, OSError):
        return _system_error(error)
    package = type(error).__module__.partition(".")[0]
    source = "" if package in ("builtins", "bayespress") else f" of {package}"
    return DefectError(
        f"{type(error).__name__}{source}: {reason_of(error)}; this is a defect of bayespress, so run the command with "
        f"{DEBUG}=1 for the traceback, and report it."
    )


def _system_error(error: OSError) -> InputError:
    remedy = _REMEDIES.get(error.errno or 0, "check the path and the disk")
    reason = error.strerror or reason_of(error)
    if error.filename is not None:
        name = error.filename if error.filename2 is None else error.filename2
        return InputError(f"{name} cannot be used ({reason}); {remedy}.")
    try:
        Path.cwd()
    except FileNotFoundError:
        return InputError("The current folder was removed; change to an existing one.")
    return InputError(f"A file cannot be read or written ({reason}); {remedy}.")


def missing_package(error: ImportError, package: str = "") -> BayespressError:
    """The error for a package that cannot be imported.

    package  name to use if the ImportError has none
    """
    name = (error.name or "").partition(".")[0] or package
    if name == "bayespress" and not isinstance(error, ModuleNotFoundError):
        return DefectError(f"The installation of bayespress is incomplete ({reason_of(error)}); install it again.")
    return MissingPackageError(printable(name), reason_of(error))


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether a library reports with its own exception type that memory ran out."""
    text = str(error)
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator: can't allocate memory" in text
