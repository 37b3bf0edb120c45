"""The errors that a user may meet, each with the exit code that the command line gives it.

A message is one sentence that names the offending value, what was expected and the remedy. Anything
that is not one of these is a defect of ours, and may end in a traceback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import IntEnum

from .text import printable


class ExitCode(IntEnum):
    """What a command's exit status means; part of the public interface, never renumbered."""

    DONE = 0
    CHECK_FAILED = 1
    BAD_INPUT = 2
    MISSING_TOOL = 3
    DEFECT = 70
    INTERRUPTED = 130


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


class Interrupted(BayespressError):
    """Ctrl-C ended the work; the message says what was kept and which command goes on."""

    exit_code = ExitCode.INTERRUPTED


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
