"""The error for a record (run.json, packed.json) that another version of bayespress wrote."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from .errors import InputError


def other_version(error: ValidationError, path: Path, expected: int, again: str) -> InputError | None:
    """The error for a record with another `version` than expected; None if the record is invalid for another reason.

    again  how to write the record again, as "train again"
    """
    for problem in error.errors():
        version = problem["input"]
        if problem["loc"] == ("version",) and isinstance(version, int) and not isinstance(version, bool):
            writer, remedy = ("an earlier", again) if version < expected else ("a later", "install that")
            return InputError(
                f"{path} is a record of version {version}, which {writer} bayespress wrote, and this one reads version "
                f"{expected}; {remedy}."
            )
    return None
