"""Checking that settings, which come from files and command lines, have the types that their dataclass declares."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .errors import InputError

_NAMES = {"str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false"}


def check_types(settings: Any) -> None:
    """Raise InputError for a field of another type than the dataclass declares: str, int, float or bool, or None too.

    The dataclass has `from __future__ import annotations`, so its types are text. A float may be a whole number.
    """
    for field in fields(settings):
        value, declared = getattr(settings, field.name), str(field.type)
        kind = declared.removesuffix(" | None")
        if value is None and kind != declared:
            continue
        kinds = {"str": str, "int": int, "float": int | float, "bool": bool}[kind]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kind != "bool"):
            raise InputError(f"Setting {field.name} is {value!r}; it has to be {_NAMES[kind]}.")
