"""bayespress takes a PyTorch network to edge hardware in a few kilobytes.

Training with variational Bayes shows which weights are noise, compression drops them and picks the precision of the
others, and TVM compiles what is left into a bundle that a phone or a board runs, verifies and times.

    import bayespress

    net = bayespress.bayesianize(my_network, method="sparse-vd")    # Linear and ConvNd layers become variational
    bayespress.fit(net, train_loader, val_loader, epochs=60)        # maximises the ELBO
    packed = bayespress.compress(net, example_inputs)               # prunes, shrinks, quantises
    packed.save("net.bpz")                                          # all weights, in a few kilobytes
    bayespress.build(packed, ["host", "arm64-linux"], "net.bundle")
    print(bayespress.verify("net.bundle"))                          # every file, every golden vector
    print(bayespress.bench("net.bundle"))                           # latency beside ONNX Runtime

Functions, in the order of their use
    bayesianize      a network, with a posterior over its weights
    fit              train it
    predict_samples  predict with sampled weights, and say how unsure the prediction is
    compress         prune, shrink and quantise: a network, a run directory, or a file of weights
    tune             the same with the settings that a search finds for an error or a size
    build            compile for targets into a bundle
    bench, verify    time a bundle and check it, here or on a device
    inspect          where each byte of a .bpz file goes
    report           a page about a run, a packed directory or a bundle
    load             open a bundle, a packed directory or a .bpz file and use it
Types
    Packed, Posterior, CompressSettings, FitSettings, Prediction, BenchReport, VerifyReport, Manifest, BayesianNetwork
Modules
    codec            the .bpz format alone, on NumPy arrays
Errors
    BayespressError and its kinds; each message is one sentence with a remedy

`help(bayespress.compress)` and so on show arguments, errors and an example. The command line has the same words:
`bayespress --help`. Names are imported when they are first used, so `import bayespress` needs neither torch nor TVM.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__
from .api import build, compress, inspect, load, report, tune
from .errors import (
    BayespressError,
    CheckFailedError,
    CorruptFileError,
    InputError,
    MissingPackageError,
    MissingToolError,
    missing_package,
)

if TYPE_CHECKING:
    from . import codec
    from .compress.packed import Packed
    from .compress.posterior import Posterior
    from .compress.settings import CompressSettings
    from .deploy.bundle.manifest import Manifest
    from .deploy.measure.bench import bench
    from .deploy.measure.report import BenchReport
    from .deploy.verify.checks import VerifyReport
    from .deploy.verify.verify import verify
    from .train.bayesian import BayesianNetwork, bayesianize
    from .train.fit import fit
    from .train.predict import Prediction, predict_samples
    from .train.settings import FitSettings

_LAZY = {
    "BayesianNetwork": ".train.bayesian",
    "BenchReport": ".deploy.measure.report",
    "CompressSettings": ".compress.settings",
    "FitSettings": ".train.settings",
    "Manifest": ".deploy.bundle.format",
    "Packed": ".compress.packed",
    "Posterior": ".compress.posterior",
    "Prediction": ".train.predict",
    "VerifyReport": ".deploy.verify.checks",
    "bayesianize": ".train.bayesian",
    "bench": ".deploy.measure.bench",
    "fit": ".train.fit",
    "predict_samples": ".train.predict",
    "verify": ".deploy.verify.verify",
}

__all__ = [
    "BayesianNetwork",
    "BayespressError",
    "BenchReport",
    "CheckFailedError",
    "CompressSettings",
    "CorruptFileError",
    "FitSettings",
    "InputError",
    "Manifest",
    "MissingToolError",
    "Packed",
    "Posterior",
    "Prediction",
    "VerifyReport",
    "bayesianize",
    "bench",
    "build",
    "codec",
    "compress",
    "fit",
    "inspect",
    "load",
    "predict_samples",
    "report",
    "tune",
    "verify",
]


class _MissingExtraError(MissingToolError, AttributeError):
    """A public name whose packages are not installed. As an AttributeError it leaves `help(bayespress)` intact."""


def __getattr__(name: str) -> Any:
    if name == "codec":
        return import_module(".codec", __name__)
    if name in _LAZY:
        try:
            return getattr(import_module(_LAZY[name], __name__), name)
        except ImportError as error:
            # The room that a name comes from has the name of the extra that brings what it imports.
            found = missing_package(error)
            room = _LAZY[name].split(".")[1]
            sentence = str(found.naming(room) if isinstance(found, MissingPackageError) else found)
            raise _MissingExtraError(sentence) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})


class _Face(ModuleType):
    """Keeps `bayespress.compress` the function.

    Importing anything of the package `compress` sets the attribute of that name to the package; here that is ignored.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name == "compress" and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
