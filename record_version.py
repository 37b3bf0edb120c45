"""What to say of a record (run.json, packed.json) that another version of bayespress wrote."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from .errors import InputError


def other_version(error: ValidationError, path: Path, expected: int, again: str) -> InputError | None:
    """The error for a record whose field `version` is not the expected one; None where something else is wrong.

    again  how to make the record anew, as "train again"
    """
    for fault in error.errors():
        found = fault["input"]
        if fault["loc"] == ("version",) and isinstance(found, int) and not isinstance(found, bool):
            writer, remedy = ("an earlier", again) if found < expected else ("a later", "install that")
            return InputError(
                f"{path} is a record of version {found}, which {writer} bayespress wrote, and this one reads version "
                f"{expected}; {remedy}."
            )
    return None
