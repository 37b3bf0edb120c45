"""Import of user code that is named as `module:callable`: networks, data sets, methods, losses, targets, devices."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from .errors import InputError, reason_of, user_code

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_plugin_name(name: str) -> bool:
    """Whether `name` has the form module:callable."""
    return _NAME.fullmatch(name) is not None


def imported(name: str, what: str) -> Callable[..., Any]:
    """Import the callable of `module:callable`.

    what  role of the callable, for the error message

    Raises InputError if there is no such callable, or if the import of the module raises an exception.
    """
    factory = imported_object(name, what, "callable")
    if not callable(factory):
        raise _missing(name, what, "callable")
    return factory  # type: ignore[no-any-return]


def imported_object(name: str, what: str, kind: str = "object") -> Any:
    """Import the object with the name after the colon.

    kind  expected kind of object, for the error message

    Raises InputError as `imported` does.
    """
    module_name, _, attribute = name.partition(":")
    here = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with user_code(f"importing the module {module_name!r}"):
            module = importlib.import_module(module_name)
    except InputError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        raise InputError(
            f"{what} {name}: module {module_name} cannot be imported ({reason_of(error.__cause__)}); run the command "
            "in the folder of the module."
        ) from error.__cause__
    value = getattr(module, attribute, None)
    if value is None:
        raise _missing(name, what, kind)
    return value


def _missing(name: str, what: str, kind: str) -> InputError:
    module_name, _, attribute = name.partition(":")
    return InputError(f"{what} {name}: {module_name} has no {kind} {attribute!r}; correct the name after the colon.")
