"""Signatures that list each setting by name, for `help()` and `inspect.signature`.

A function that passes settings on takes them as `**settings: Unpack[SomeOptions]`, which type checkers and editors
read. What Python itself shows would be `**settings`; here it becomes one parameter for each field of the dataclass
that the settings are for, with its type and default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def shows_settings(settings: type) -> Callable[[Function], Function]:
    """Decorate a function whose `**` parameter takes the fields of the dataclass `settings`.

    Only the signature that is shown changes, not what the function accepts.

    >>> import inspect
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Oven:
    ...     celsius: float = 180.0
    >>> @shows_settings(Oven)
    ... def bake(bread: str, **settings: float) -> str: ...
    >>> str(inspect.signature(bake))
    "(bread: 'str', *, celsius: 'float' = 180.0) -> 'str'"
    """

    def decorate(function: Function) -> Function:
        own = inspect.signature(function)
        kept = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
        listed = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
                annotation=field.type,
            )
            for field in fields(settings)
        ]
        function.__signature__ = own.replace(parameters=[*kept, *listed])  # type: ignore[attr-defined]
        return function

    return decorate
