"""A posterior in, levels and codebooks out: prune, shrink, pick precisions, encode.

The package is also the function that does so: `bayespress.compress(net, example)`. A function beside a package
of the same name would be overwritten by it on import, so the module itself is made callable.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .packed import Packed
    from .pipeline import Evaluate


class Trained(Protocol):
    """What compression needs of a trained network; train.BayesianNetwork is one."""

    def point_network(self) -> nn.Module:
        """The deterministic network with the posterior means."""
        ...

    def posterior_tensors(self) -> dict[str, Tensor]:
        """`NAME` and `NAME/variance`, as posterior.Posterior.from_tensors reads them."""
        ...


def compress(net: Trained, example: Tensor, *, evaluate: Evaluate | None = None, **settings: Any) -> Packed:
    """Compress a trained Bayesian network.

    example   inputs (n, ...) as the network takes them, a few from the data
    evaluate  error in percent of a network; when given, it is reported after each step
    settings  fields of settings.CompressSettings
    """
    from .pipeline import compress_network
    from .posterior import Posterior
    from .settings import CompressSettings

    posterior = Posterior.from_tensors(net.posterior_tensors())
    return compress_network(net.point_network(), posterior, example, CompressSettings(**settings), evaluate=evaluate)


class _CallableStage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Packed:
        return compress(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableStage
