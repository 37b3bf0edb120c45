"""Code of the user's that is named as `module:callable`: networks, data sets, methods, losses, targets, devices."""

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
    """The callable of `module:callable`; `what` names its role in the error.

    Raises InputError when there is none, and when the module raises anything while it is imported.
    """
    factory = imported_object(name, what, "callable")
    if not callable(factory):
        raise _lacks(name, what, "callable")
    return factory  # type: ignore[no-any-return]


def imported_object(name: str, what: str, kind: str = "object") -> Any:
    """Whatever stands in the module under the name after the colon; `kind` says what is expected there.

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
            f"{what} {name}: module {module_name} cannot be imported ({reason_of(error.__cause__)}); run from the "
            "folder that holds it."
        ) from error.__cause__
    found = getattr(module, attribute, None)
    if found is None:
        raise _lacks(name, what, kind)
    return found


def _lacks(name: str, what: str, kind: str) -> InputError:
    module_name, _, attribute = name.partition(":")
    return InputError(f"{what} {name}: {module_name} has no {kind} {attribute!r}; check what follows the colon.")
