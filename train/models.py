"""Networks by name: the built-in ones, and the user's own as `module:callable`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..errors import InputError


def lenet_300_100() -> nn.Module:
    """784-300-100-10 with ReLU: 266,610 parameters (LeCun et al. 1998). Inputs (batch, 1, 28, 28)."""
    return _named(flatten=nn.Flatten(), fc1=nn.Linear(784, 300), relu1=nn.ReLU(), fc2=nn.Linear(300, 100),
                  relu2=nn.ReLU(), fc3=nn.Linear(100, 10))  # fmt: skip


def lenet_5_caffe() -> nn.Module:
    """20-50-500-10 with 5x5 kernels: 431,080 parameters, Caffe's variant of LeNet-5. Inputs (batch, 1, 28, 28).

    ReLU follows each convolution as in the Bayesian papers' code; Caffe's own file has one after fc1 only.
    """
    return _named(
        conv1=nn.Conv2d(1, 20, 5), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(20, 50, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2), flatten=nn.Flatten(),
        fc1=nn.Linear(800, 500), relu3=nn.ReLU(), fc2=nn.Linear(500, 10),
    )  # fmt: skip


MODELS: dict[str, Callable[[], nn.Module]] = {"lenet-300-100": lenet_300_100, "lenet-5-caffe": lenet_5_caffe}


def build_model(name: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """A fresh network: a built-in name, or `module:callable` called with `arguments`.

    Modules are looked up from the current folder too, as `python -m` does. Raises InputError when there is
    none of that name, when it cannot be called so, or when what it returns is no nn.Module.
    """
    arguments = dict(arguments or {})
    if name in MODELS:
        factory: Callable[..., Any] = MODELS[name]
    elif ":" in name:
        factory = _imported(name)
    else:
        raise InputError(
            f"There is no model {name!r}; the built-in ones are {', '.join(MODELS)}, and your own is `module:callable`."
        )
    try:
        network = factory(**arguments)
    except TypeError as error:
        raise InputError(f"Model {name} cannot be built with arguments {arguments}: {error}.") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"Model {name} gave a {type(network).__name__}, and an nn.Module is needed.")
    return network


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    here = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"Model {name}: module {module_name} cannot be imported ({error}); run from the folder that holds it."
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise InputError(f"Model {name}: {module_name} has no callable {attribute!r}; check the part behind the colon.")
    return factory  # type: ignore[no-any-return]


def _named(**layers: nn.Module) -> nn.Sequential:
    """A Sequential whose layers bear names rather than numbers: they become the tensor names of the .bpz."""
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network
