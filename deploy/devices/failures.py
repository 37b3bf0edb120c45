"""Why a runner ended badly, as one sentence with a remedy."""

from __future__ import annotations

from ...errors import BayespressError, CheckFailedError, MissingToolError
from .process import Finished, short

_SHELL_CANNOT_EXECUTE, _SHELL_FINDS_NOTHING, _SHELL_ADDS = 126, 127, 128
_LAST_SIGNAL = 64

# By the number of the signal, which is the same on every Linux that a target is for.
_SIGNALS = {
    4: "stopped at an illegal instruction: the target was built for another processor; build it for this one, "
    "without extensions that it lacks",
    6: "aborted; {remedy}",
    7: "stopped at a bus error; {remedy}",
    8: "stopped at an arithmetic fault; {remedy}",
    9: "was killed, as systems do when memory runs out; free memory there, or build a smaller network",
    11: "read or wrote memory that is not its own; {remedy}",
    13: "could not hand over its report, as the connection closed; try again",
    24: "used up the processor time that it is allowed there; raise that limit",
    25: "would have written a file larger than is allowed there; raise that limit",
}
# What systems say, in small letters, and what to do.
_KNOWN_MESSAGES = (
    ("exec format error", "it is a program for another processor; build for this one"),
    ("not executable: ", "it is a program for another processor; build for this one"),
    ("syntax error", "it is a program for another processor; build for this one"),
    ("cannot execute binary file", "it is a program for another processor; build for this one"),
    ("no space left", "its disk is full; free some space there"),
    ("disk quota exceeded", "its disk quota is used up; free some space there"),
    ("read-only file system", "its file system is read-only; mount a temporary folder that can be written"),
    ("permission denied", "programs may not be executed there; mount a temporary folder without noexec"),
    ("cannot allocate memory", "its memory is used up; free some there"),
)


def failure_of(name: str, finished: Finished, remedy: str = "verify the bundle, or build it again") -> BayespressError:
    """The error of a runner that ended with a status other than 0 on device `name`.

    remedy  for a program that broke: what is most likely at fault there
    """
    status, message = finished.status, finished.last_line()
    number = -status if status < 0 else status - _SHELL_ADDS
    if number in _SIGNALS:
        return CheckFailedError(f"The runner failed on {name}: it {_SIGNALS[number].format(remedy=remedy)}.")
    if (known := explained(message)) is not None:
        return MissingToolError(f"The runner cannot be used on {name}: {known} ({message}).")
    shown = message or f"status {status}"
    if status == _SHELL_CANNOT_EXECUTE:
        return MissingToolError(f"The runner cannot be executed on {name} ({shown}); build for its processor.")
    if status == _SHELL_FINDS_NOTHING:
        return MissingToolError(
            f"The runner cannot be started on {name} ({shown}); it lacks a loader for it; build a static target."
        )
    if status < 0 or 0 < number <= _LAST_SIGNAL:
        message = f"signal {number} ended it"
    return CheckFailedError(f"The runner failed on {name}: {short(message) or f'it ended with status {status}'}.")


def explained(message: str) -> str | None:
    """Reason and remedy for a system's message; None for anything else."""
    return next((remedy for words, remedy in _KNOWN_MESSAGES if words in message.lower()), None)
