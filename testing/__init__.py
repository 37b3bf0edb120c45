"""Contract suites for extensions: tests that every method, likelihood, target, device and data set must pass.

Each contract is a class of pytest tests. Extend it in your own test file, provide the object under test as a fixture,
and run pytest:

    from bayespress.testing import MethodContract

    class TestMyMethod(MethodContract):
        @pytest.fixture
        def method(self):
            return MyMethod(prior_precision=2.0)

The package's own methods, likelihoods, targets, devices and data sets pass the same classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import DataContract
    from .device import DeviceContract
    from .likelihood import LikelihoodContract
    from .method import MethodContract
    from .target import TargetContract

_LAZY = {
    "DataContract": ".data",
    "DeviceContract": ".device",
    "LikelihoodContract": ".likelihood",
    "MethodContract": ".method",
    "TargetContract": ".target",
}

__all__ = ["DataContract", "DeviceContract", "LikelihoodContract", "MethodContract", "TargetContract"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
