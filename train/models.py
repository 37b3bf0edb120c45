"""Networks by name: the built-in ones, and the user's own as `module:callable`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, reason_of, unknown_name, user_code
from ..plugins import imported
from .compiled import uncompile_parts


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


def mlp_1200() -> nn.Module:
    """784-1200-1200-10 with ReLU: 2,395,210 parameters (Blundell et al. 2015). Inputs (batch, 1, 28, 28)."""
    return _named(flatten=nn.Flatten(), fc1=nn.Linear(784, 1200), relu1=nn.ReLU(), fc2=nn.Linear(1200, 1200),
                  relu2=nn.ReLU(), fc3=nn.Linear(1200, 10))  # fmt: skip


def vgg() -> nn.Module:
    """VGG-16 for CIFAR-10 as the Bayesian Compression paper has it: 14,991,946 parameters. Inputs (batch, 3, 32, 32).

    13 convolutions of 3x3, each with batch norm and ReLU: 2 of 64, 2 of 128, 3 of 256, 3 of 512, 3 of 512, a
    maximum over 2x2 after each block; then 512-512-10 with batch norm and ReLU between. (Louizos et al. 2017, section
    5.1, after Zagoruyko's VGG for CIFAR-10; its dropout is left out, the posterior's noise stands in for it.)
    """
    network, channels = nn.Sequential(), 3
    for block, widths in enumerate(([64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3), 1):
        for number, width in enumerate(widths, 1):
            name = f"{block}_{number}"
            network.add_module(f"conv{name}", nn.Conv2d(channels, width, 3, padding=1))
            network.add_module(f"norm{name}", nn.BatchNorm2d(width))
            network.add_module(f"relu{name}", nn.ReLU())
            channels = width
        network.add_module(f"pool{block}", nn.MaxPool2d(2))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc1", nn.Linear(512, 512))
    network.add_module("norm_fc1", nn.BatchNorm1d(512))
    network.add_module("relu_fc1", nn.ReLU())
    network.add_module("fc2", nn.Linear(512, 10))
    return network


class _WideBlock(nn.Module):
    """Two 3x3 convolutions behind batch norm and ReLU, added to the input or to its 1x1 projection."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.project = None if channels == width else nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w) to (batch, width, h / stride, w / stride)."""
        active = torch.relu(self.norm1(x))
        kept = x if self.project is None else self.project(active)
        return kept + self.conv2(torch.relu(self.norm2(self.conv1(active))))  # type: ignore[no-any-return]


def wrn_16_4() -> nn.Module:
    """Wide residual network of depth 16 and widening 4: 2,748,890 parameters. Inputs (batch, 3, 32, 32).

    A convolution of 16, three groups of two pre-activation blocks of 64, 128 and 256 channels, batch norm, ReLU, the
    mean over space, 10 outputs (Zagoruyko, Komodakis 2016).
    """
    network, channels = nn.Sequential(), 16
    network.add_module("stem", nn.Conv2d(3, channels, 3, padding=1, bias=False))
    for group, (width, stride) in enumerate(((64, 1), (128, 2), (256, 2)), 1):
        for number in (1, 2):
            network.add_module(f"block{group}_{number}", _WideBlock(channels, width, stride if number == 1 else 1))
            channels = width
    network.add_module("norm", nn.BatchNorm2d(channels))
    network.add_module("relu", nn.ReLU())
    network.add_module("mean", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(channels, 10))
    return network


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lenet-300-100": lenet_300_100, "lenet-5-caffe": lenet_5_caffe, "mlp-1200": mlp_1200, "vgg": vgg,
    "wrn-16-4": wrn_16_4,
}  # fmt: skip


def build_model(name: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """A fresh network: a built-in name, or `module:callable` called with `arguments`.

    Modules are looked up from the current folder too, as `python -m` does. Raises InputError when there is
    none of that name, when it cannot be called so, or when what it returns is no nn.Module.
    """
    arguments = dict(arguments or {})
    if name in MODELS:
        factory: Callable[..., Any] = MODELS[name]
    elif ":" in name:
        factory = imported(name, "Model")
    else:
        raise unknown_name("model", name, MODELS, "your own as module:callable")
    try:
        with user_code(f"the model {name}"):
            network = factory(**arguments)
    except InputError as error:
        if not isinstance(error.__cause__, TypeError):
            raise
        raise InputError(
            f"Model {name} cannot be built with arguments {arguments}: {reason_of(error.__cause__)}."
        ) from error.__cause__
    if not isinstance(network, nn.Module):
        raise InputError(f"Model {name} gave a {type(network).__name__}, and an nn.Module is needed.")
    return uncompile_parts(network)  # so that its parameters have the names that bayesianize gives them


def _named(**layers: nn.Module) -> nn.Sequential:
    """A Sequential whose layers bear names rather than numbers: they become the tensor names of the .bpz."""
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network
