"""The errors that a user may meet, each with the exit code that the command line gives it.

A message is one sentence that names the offending value, what was expected and the remedy. `in_one_sentence` turns
every other exception that reaches the command line into one of these; what it does not know is a defect of ours.
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
    """What a command's exit status means; part of the public interface, never renumbered.

    BAD_INPUT    bad usage, bad input, or a file system or memory that does not allow what was asked
    DEFECT       an exception that nobody expected: EX_SOFTWARE of sysexits.h
    HANGUP       the terminal was closed: 128 + SIGHUP, as shells report it
    INTERRUPTED  Ctrl-C: 128 + SIGINT
    NO_READER    whoever read the output closed it, as `head` does: 128 + SIGPIPE
    TERMINATED   ended by `kill`, `timeout` or a batch system: 128 + SIGTERM
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
    """Base of every error that is the user's to mend."""

    exit_code: ExitCode = ExitCode.BAD_INPUT


class InputError(BayespressError):
    """A file, value or option that cannot be used as given."""


class CorruptFileError(InputError):
    """A file whose bytes contradict its format or its checksum."""


class CheckFailedError(BayespressError):
    """The check that the user asked for was made, and its answer is no."""

    exit_code = ExitCode.CHECK_FAILED


class MissingToolError(BayespressError):
    """A device, compiler or optional package that the job needs is not there."""

    exit_code = ExitCode.MISSING_TOOL


class MissingPackageError(MissingToolError):
    """A Python package that cannot be imported.

    package  its name, as Python imports it
    reason   message of the failed import
    extra    the extra to name, where several bring the package
    """

    def __init__(self, package: str, reason: str, extra: str = "") -> None:
        self.package, self.reason = package, reason
        remedy = install_remedy(package, extra)
        super().__init__(
            f"The package {package or 'that was asked for'} is needed and cannot be imported ({reason}); {remedy}."
        )

    def naming(self, extra: str) -> MissingPackageError:
        """The same error with the remedy `extra`, where that brings the package."""
        return MissingPackageError(self.package, self.reason, extra)


class Interrupted(BayespressError):  # noqa: N818 - nothing went wrong
    """Ctrl-C, SIGTERM or SIGHUP ended the work; the message says what was kept and which command goes on."""

    exit_code = ExitCode.INTERRUPTED


class DefectError(BayespressError):
    """An exception that no part of bayespress expected."""

    exit_code = ExitCode.DEFECT


_MOST_LISTED = 40  # names in one message
DEBUG = "BAYESPRESS_DEBUG"  # set in the environment, every failure shows its traceback too


@contextlib.contextmanager
def user_code(what: str) -> Iterator[None]:
    """Turn whatever code of the user raises inside the block into an InputError of one sentence.

    what  names the code, as in "the model nets:Small" or "the loss"

    Errors of ours, and Ctrl-C, pass through unchanged. The original exception is the cause of the InputError.
    """
    try:
        yield
    except (BayespressError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a user's SystemExit must not end our process with its own code
        raise InputError(
            f"{what[:1].upper()}{what[1:]} raised {type(error).__name__}: {reason_of(error)}; mend that code."
        ) from error


def unknown_name(kind: str, name: str, known: Iterable[str], otherwise: str = "") -> InputError:
    """The error for a name that is none of `known`, with the nearest ones.

    kind       what the name is of, as "setting of compression"
    otherwise  what else may be given, as "your own as module:callable"

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
    """What a third party's exception says, in one line without a full stop, for use in a sentence of ours.

    Of a pydantic ValidationError it is the first field that is wrong, and how.
    """
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"  # keys are the file's own
        return printable(f"{place[:200]}: {first['msg']}")
    lines = str(error).strip().splitlines()
    return printable(lines[0]).rstrip(".") if lines else type(error).__name__


# What to do about a failure of the operating system, by its number.
_REMEDIES = {
    errno.ENOSPC: "free some space, or name another place",
    errno.EDQUOT: "free some space, or name another place",
    errno.EFBIG: "name a place that takes larger files",
    errno.EACCES: "check its permissions, or name another place",
    errno.EPERM: "check its permissions, or name another place",
    errno.EROFS: "name a place that can be written",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "mend the symbolic links, which lead to each other",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EIO: "check the disk",
}


def in_one_sentence(error: BaseException) -> BayespressError:
    """The error of ours, with its sentence and exit code, that stands for any exception.

    It is the last resort of the command line: a stage that knows more says more, before an exception comes here.
    """
    if isinstance(error, BayespressError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("Interrupted; outputs are written whole or not at all, so none was left half-written.")
    if isinstance(error, ImportError):
        return missing_package(error)
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return InputError("There is not enough memory for this; close other programs, or take a smaller input.")
    if isinstance(error, RecursionError):
        return InputError("The input is nested too deeply to be processed; take a flatter one.")
    if isinstance(error, UnicodeError):
        return InputError(f"Text has characters that cannot be read or written ({reason_of(error)}); use UTF-8.")
    if isinstance(error, ConnectionError | TimeoutError):
        return MissingToolError(f"A connection failed ({reason_of(error)}); check the address and the network.")
    if isinstance(error, OSError):
        return _of_the_system(error)
    package = type(error).__module__.partition(".")[0]
    source = "" if package in ("builtins", "bayespress") else f" of {package}"
    return DefectError(
        f"{type(error).__name__}{source}: {reason_of(error)}; this is a defect of bayespress, so run the command with "
        f"{DEBUG}=1 for the traceback, and report it."
    )


def _of_the_system(error: OSError) -> InputError:
    remedy = _REMEDIES.get(error.errno or 0, "check the path and the disk")
    reason = error.strerror or reason_of(error)
    if error.filename is not None:
        name = error.filename if error.filename2 is None else error.filename2
        return InputError(f"{name} cannot be used ({reason}); {remedy}.")
    try:
        Path.cwd()
    except FileNotFoundError:
        return InputError("The current folder was removed; change to one that is there.")
    return InputError(f"A file cannot be read or written ({reason}); {remedy}.")


def missing_package(error: ImportError, package: str = "") -> BayespressError:
    """What to say of a package that cannot be imported; `package` is known where the error does not name it."""
    name = (error.name or "").partition(".")[0] or package
    if name == "bayespress" and not isinstance(error, ModuleNotFoundError):
        return DefectError(f"bayespress is not installed whole ({reason_of(error)}); install it again.")
    return MissingPackageError(printable(name), reason_of(error))


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether a library reports, by a type of its own, that memory ran out."""
    text = str(error)
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator: can't allocate memory" in text
