"""Import of optional packages, with an error of one sentence that names the missing extra."""

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
    """Recommend `extra` for a package that is missing inside the block or inside the decorated function.

    Several extras install torch; the caller knows which one also installs its other packages. Raises
    MissingPackageError instead of the ImportError of an optional package; other exceptions pass through.
    """
    try:
        yield
    except MissingPackageError as error:
        raise error.naming(extra) from error.__cause__
    except ImportError as error:
        missing = missing_package(error)
        if not isinstance(missing, MissingPackageError):
            raise
        raise missing.naming(extra) from error
