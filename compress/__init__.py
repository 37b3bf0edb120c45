"""A posterior in, levels and codebooks out: prune, shrink, pick precisions, encode.

The package is also the function that does so: `bayespress.compress(net, example)`. A function beside a package
of the same name would be overwritten by it on import, so the module itself is made callable.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sized
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


class Loader(Protocol):
    """Batches of inputs and classes, as torch's DataLoader gives them."""

    dataset: Sized

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


def compress(
    net: Trained,
    example: Tensor,
    *,
    evaluate: Evaluate | None = None,
    loader: Loader | None = None,
    **settings: Any,
) -> Packed:
    """Compress a trained Bayesian network.

    example   inputs (n, ...) as the network takes them, a few from the data
    evaluate  error in percent of a network; when given, it is reported after each step
    loader    the training set, for `retrain=EPOCHS`
    settings  fields of settings.CompressSettings
    """
    from dataclasses import fields

    from ..errors import InputError, user_code
    from .pipeline import compress_network
    from .posterior import Posterior
    from .retrain import Labelled
    from .settings import CompressSettings

    if not (hasattr(net, "point_network") and hasattr(net, "posterior_tensors")):
        raise InputError(f"The network is a {type(net).__name__} without a posterior; give what bayesianize returned.")
    known = [field.name for field in fields(CompressSettings)]
    if unknown := [name for name in settings if name not in known]:
        raise InputError(f"There is no setting {unknown[0]!r}; there are {', '.join(known)}.")
    with user_code("the data loader"):
        data = None if loader is None else Labelled(lambda _epoch: loader, len(loader), len(loader.dataset))
    return compress_network(
        net.point_network(),
        Posterior.from_tensors(net.posterior_tensors()),
        example,
        CompressSettings(**settings),
        evaluate=evaluate,
        data=data,
    )


class _CallableStage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Packed:
        return compress(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableStage
