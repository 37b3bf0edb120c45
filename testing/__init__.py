"""Contracts for extensions: test suites that a method, a target, a device or a data set of yours has to pass.

Each contract is a class of pytest tests. Extend it in a test file of your own, name what is to be tested, and run
pytest:

    from bayespress.testing import MethodContract

    class TestMyMethod(MethodContract):
        @pytest.fixture
        def method(self):
            return MyMethod(prior_precision=2.0)

The package's own methods, targets, devices and data sets pass the same classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import DataContract
    from .device import DeviceContract
    from .method import MethodContract
    from .target import TargetContract

_LAZY = {
    "DataContract": ".data",
    "DeviceContract": ".device",
    "MethodContract": ".method",
    "TargetContract": ".target",
}

__all__ = ["DataContract", "DeviceContract", "MethodContract", "TargetContract"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
