"""Importing the packages of an extra, and saying in one sentence which extra is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from .errors import MissingPackageError, missing_package


def require(module: str) -> ModuleType:
    """Import an optional package. Raises MissingPackageError naming the extra that brings it.

    Type checkers do not know what the returned module holds; a plain `import` after this call gives them its types.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise missing_package(error, module.partition(".")[0]) from error


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """Name `extra` for a package that is missing inside the block, or inside the function that this decorates.

    Several extras bring torch; a job knows which one brings the rest of what it needs too. Raises MissingPackageError
    in place of the ImportError of a package of an extra; any other exception passes through.
    """
    try:
        yield
    except MissingPackageError as error:
        raise error.naming(extra) from error.__cause__
    except ImportError as error:
        found = missing_package(error)
        if not isinstance(found, MissingPackageError):
            raise
        raise found.naming(extra) from error
