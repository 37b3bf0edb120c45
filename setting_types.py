"""Type check of settings from files and command lines against the types that their dataclass declares."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .errors import InputError

_NAMES = {"str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false"}


def check_types(settings: Any) -> None:
    """Raise InputError if a field does not have its declared type: str, int, float or bool, each optionally with None.

    settings  dataclass in a module with `from __future__ import annotations`, so its declared types are strings

    An int is accepted for a float.
    """
    for field in fields(settings):
        value, declared = getattr(settings, field.name), str(field.type)
        kind = declared.removesuffix(" | None")
        if value is None and kind != declared:
            continue
        kinds = {"str": str, "int": int, "float": int | float, "bool": bool}[kind]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kind != "bool"):
            raise InputError(f"Setting {field.name} is {value!r}; it must be {_NAMES[kind]}.")
