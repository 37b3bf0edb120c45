"""Importing the packages of an extra, and saying in one sentence which extra is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import MissingToolError


def require(module: str) -> Any:
    """Import an optional package. Raises MissingToolError naming the extra that brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingToolError(
            f"Python package {module.partition('.')[0]} is needed and cannot be imported ({error}); "
            "install it with `pip install 'bayespress[deploy]'`."
        ) from error
