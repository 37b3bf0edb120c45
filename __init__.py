"""bayespress: a PyTorch network to a phone in a few kilobytes.

Names are imported when first used, so that `import bayespress` and the commands that only read files start
without torch and without TVM.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import BayespressError, CheckFailedError, CorruptFileError, InputError, MissingToolError

if TYPE_CHECKING:
    from .api import build
    from .compress import compress
    from .deploy.measure.bench import bench
    from .deploy.verify.verify import verify
    from .train.bayesian import BayesianNetwork, bayesianize
    from .train.fit import fit
    from .train.predict import predict_samples

__version__ = "0.1.0"

_LAZY = {
    "BayesianNetwork": ".train.bayesian",
    "bayesianize": ".train.bayesian",
    "bench": ".deploy.measure.bench",
    "build": ".api",
    "fit": ".train.fit",
    "predict_samples": ".train.predict",
    "verify": ".deploy.verify.verify",
}

__all__ = [
    "BayesianNetwork",
    "BayespressError",
    "CheckFailedError",
    "CorruptFileError",
    "InputError",
    "MissingToolError",
    "bayesianize",
    "bench",
    "build",
    "compress",
    "fit",
    "predict_samples",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "compress":  # a callable package, see there
        return import_module(".compress", __name__)
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
