"""Small networks that together cover every way in which channels pass from layer to layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bayespress.compress.posterior import Posterior


class Residual(nn.Module):
    """Padded convolutions, batch norm, a residual addition, a concatenation and average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(6)
        self.side = nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.stem(x)))
        x = x + torch.relu(self.norm2(self.conv(x)))
        x = torch.cat([x, torch.relu(self.side(x))], 1)
        return self.head(x.mean((2, 3)))


class Shared(nn.Module):
    """One layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.again = nn.Linear(8, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.last(torch.relu(self.again(torch.relu(self.again(x)))))


class Aliased(Shared):
    """Like Shared, with a second name for the shared layer."""

    def __init__(self) -> None:
        super().__init__()
        self.alias = self.again


class HardCoded(nn.Module):
    """A forward function with a hard-coded width, so no channel can be removed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.fc = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(x)).view(-1, 6, 4).flatten(1))


class Normalised(nn.Module):
    """Layer norm over units: removing one changes the others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.norm = nn.LayerNorm(8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


class Constants(nn.Module):
    """Persistent and non-persistent buffers, a constant in the forward function, and an unused layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.unused = nn.Linear(2, 2)
        self.last = nn.Linear(6, 3)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 5))
        self.register_buffer("shift", torch.linspace(-1, 1, 6), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x * self.scale) + self.shift)
        return self.last(x) * torch.tensor([1.0, -2.0, 0.5])


class Depthwise(nn.Module):
    """An inverted residual: narrow to wide, a depthwise convolution, wide to narrow, and an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.expand = nn.Conv2d(4, 10, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(10)
        self.filter = nn.Conv2d(10, 10, 3, padding=1, groups=10, bias=False)
        self.norm2 = nn.BatchNorm2d(10)
        self.project = nn.Conv2d(10, 4, 1, bias=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        inner = nn.functional.relu6(self.norm1(self.expand(x)))
        x = x + self.project(nn.functional.relu6(self.norm2(self.filter(inner))))
        return self.head(x.mean((2, 3)))


class Cardinal(nn.Module):
    """A block of ResNeXt: a grouped convolution between batch norms, and an addition; then one with a multiplier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.narrow = nn.Conv2d(4, 12, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(12)
        self.grouped = nn.Conv2d(12, 24, 3, padding=1, groups=4, bias=False)
        self.norm2 = nn.BatchNorm2d(24)
        self.wide = nn.Conv2d(24, 4, 1)
        self.multiplied = nn.Conv2d(4, 8, 2, groups=4)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        inner = torch.relu(self.norm1(self.narrow(x)))
        x = x + self.wide(torch.relu(self.norm2(self.grouped(inner))))
        return self.head(torch.relu(self.multiplied(x)).mean((2, 3)))


@dataclass(frozen=True)
class Specimen:
    """A network of the zoo. `shrinks`: whether units can be removed from it."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    shrinks: bool = True

    def network(self, seed: int = 0) -> nn.Module:
        """A new network with random weights and random running statistics."""
        torch.manual_seed(seed)
        network = self.make()
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for tensor in (module.running_mean, module.weight, module.bias):
                    nn.init.normal_(tensor, 0.5, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
        return network.eval()

    def inputs(self, count: int = 4) -> Tensor:
        return torch.randn(count, *self.shape, generator=torch.Generator().manual_seed(1))


ZOO: dict[str, Specimen] = {
    "mlp": Specimen(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4)),
        (1, 4, 4),
    ),
    "single-layer": Specimen(lambda: nn.Linear(5, 3), (5,), shrinks=False),
    "conv": Specimen(
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 2, bias=False),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32, 10),
            nn.Sigmoid(),
            nn.Linear(10, 4),
        ),
        (1, 8, 8),
    ),
    "padded": Specimen(
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1),
            nn.Sigmoid(),
            nn.Conv2d(6, 6, 3, padding="same"),
            nn.ReLU(),
            nn.Conv2d(6, 4, 3, stride=2, padding=1, padding_mode="reflect"),
            nn.Flatten(),
            nn.Linear(36, 3),
        ),
        (2, 6, 6),
    ),
    "residual": Specimen(Residual, (1, 6, 6)),
    "strided": Specimen(
        lambda: nn.Sequential(
            nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 0)),
            nn.ReLU6(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(5, 9, 3, padding=2, dilation=2),
            nn.BatchNorm2d(9),
            nn.MaxPool2d((2, 1)),
            nn.Tanh(),
            nn.MaxPool2d(2, stride=1, padding=1),
            nn.Conv2d(9, 20, 2, stride=3),
            nn.ReLU(),
            nn.AvgPool2d((1, 2)),
            nn.Flatten(),
            nn.Linear(20, 3),
        ),
        (3, 17, 11),
    ),
    "wide": Specimen(
        lambda: nn.Sequential(
            nn.Conv2d(1, 33, 5, padding=2), nn.ReLU(), nn.Conv2d(33, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        (1, 5, 130),
    ),
    "conv1d": Specimen(
        lambda: nn.Sequential(
            nn.Conv1d(2, 6, 3, dilation=2),
            nn.ReLU(),
            nn.Conv1d(6, 5, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20, 3),
        ),
        (2, 14),
    ),
    "conv3d": Specimen(
        lambda: nn.Sequential(
            nn.Conv3d(1, 5, 2), nn.ReLU(), nn.Conv3d(5, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)
        ),
        (1, 4, 5, 4),
    ),
    "sequences": Specimen(lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)), (6, 5)),
    "grouped": Specimen(
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, 3),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.ReLU(),
            nn.Conv2d(8, 6, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(54, 3),
        ),
        (4, 7, 7),
    ),
    "depthwise": Specimen(Depthwise, (2, 6, 6)),
    "two-groups": Specimen(
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3),
            nn.ReLU(),
            nn.Conv2d(6, 8, 2, groups=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(72, 6),
            nn.ReLU(),
            nn.Linear(6, 3),
        ),
        (2, 6, 6),
    ),
    "cardinal": Specimen(Cardinal, (2, 6, 6)),
    "one-output-a-group": Specimen(
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 3),
            nn.ReLU(),
            nn.Conv2d(8, 4, 2, groups=4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36, 6),
            nn.ReLU(),
            nn.Linear(6, 3),
        ),
        (2, 6, 6),
    ),
    "shared": Specimen(Shared, (5,), shrinks=False),
    "aliased": Specimen(Aliased, (5,), shrinks=False),
    "constants": Specimen(Constants, (5,), shrinks=False),
    "layer-norm": Specimen(Normalised, (5,), shrinks=False),
    "hard-coded": Specimen(HardCoded, (1, 4, 4), shrinks=False),
}


def posterior_of(network: nn.Module, dropped: float = 0.5, seed: int = 2) -> Posterior:
    """A posterior in which a random fraction `dropped` of each layer's weights, and every third unit, is noise."""
    values = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    variances = {}
    for name, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            key = f"{name}.weight" if name else "weight"
            generator = torch.Generator().manual_seed(seed)  # the same seed for both names of one layer
            noise = torch.rand(values[key].shape, generator=generator) < dropped
            noise[::3] = True
            scale = torch.rand(values[key].shape, generator=generator) * 1e-4 + 1e-6
            variances[key] = torch.where(noise, values[key].square() * 1e3 + 1.0, scale)
    return Posterior(values, variances)
