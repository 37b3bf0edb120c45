"""Error messages for a runner that failed: one sentence with the reason and a remedy."""

from __future__ import annotations

from ...errors import BayespressError, CheckFailedError, MissingToolError
from .process import Finished, short

_SHELL_CANNOT_EXECUTE, _SHELL_FINDS_NOTHING, _SHELL_ADDS = 126, 127, 128
_LAST_SIGNAL = 64

# Key: the number of the signal, which is the same on every supported Linux.
_SIGNALS = {
    4: "stopped at an illegal instruction: the target was built for another processor; build it for this one, "
    "without extensions that it lacks",
    6: "aborted; {remedy}",
    7: "stopped at a bus error; {remedy}",
    8: "stopped at an arithmetic fault; {remedy}",
    9: "was killed, probably because the system ran out of memory; free memory there, or build a smaller network",
    11: "accessed invalid memory; {remedy}",
    13: "could not send its report because the connection closed; try again",
    24: "exceeded its limit of processor time; raise that limit",
    25: "exceeded the system's limit of file size; raise that limit",
}
# Part of a system's message in lower case, and the reason with the remedy.
_KNOWN_MESSAGES = (
    ("exec format error", "it is a program for another processor; build for this one"),
    ("not executable: ", "it is a program for another processor; build for this one"),
    ("syntax error", "it is a program for another processor; build for this one"),
    ("cannot execute binary file", "it is a program for another processor; build for this one"),
    ("no space left", "its disk is full; free some space there"),
    ("disk quota exceeded", "its disk quota is used up; free some space there"),
    ("read-only file system", "its file system is read-only; mount a temporary folder that can be written"),
    ("permission denied", "programs may not be executed there; mount a temporary folder without noexec"),
    ("cannot allocate memory", "its memory is used up; free some memory there"),
)


def failure_of(name: str, finished: Finished, remedy: str = "verify the bundle, or build it again") -> BayespressError:
    """The error for a runner that ended with a nonzero status on device `name`.

    remedy  advice for a program that crashed
    """
    status, message = finished.status, finished.last_line()
    number = -status if status < 0 else status - _SHELL_ADDS
    if number in _SIGNALS:
        return CheckFailedError(f"The runner failed on {name}: it {_SIGNALS[number].format(remedy=remedy)}.")
    if (known := known_remedy(message)) is not None:
        return MissingToolError(f"The runner cannot be used on {name}: {known} ({message}).")
    shown = message or f"status {status}"
    if status == _SHELL_CANNOT_EXECUTE:
        return MissingToolError(f"The runner cannot be executed on {name} ({shown}); build for its processor.")
    if status == _SHELL_FINDS_NOTHING:
        return MissingToolError(
            f"The runner cannot be started on {name} because its loader is missing there ({shown}); "
            "build a static target."
        )
    if status < 0 or 0 < number <= _LAST_SIGNAL:
        message = f"signal {number} ended it"
    return CheckFailedError(f"The runner failed on {name}: {short(message) or f'it ended with status {status}'}.")


def known_remedy(message: str) -> str | None:
    """Reason and remedy for a known system message; None for any other message."""
    return next((remedy for words, remedy in _KNOWN_MESSAGES if words in message.lower()), None)
