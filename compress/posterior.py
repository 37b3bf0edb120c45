"""The posterior of a trained network, and how to read it from a run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import CorruptFileError, InputError
from ..text import printable
from .constants import user_buffers
from .tensors import is_extra_state, tensors_of

_VARIANCE = "/variance"
_NOISE = "/group_noise"
# Added to mean^2 as in training: without it a mean of exactly 0 would have an infinite log alpha.
_TINY = 1e-8


@dataclass(frozen=True, repr=False)
class Posterior:
    """Marginal posterior of a network's tensors, by state-dict name.

    values     posterior means of the variational weights, and the values of all other tensors
    variances  marginal posterior variances of the variational weights, in squared units of the weight
    group_noise  for weights that share a scale within a group: the noise of each group's scale, as the method measures
               it; it has as many dimensions as the weight, with extent 1 on all axes but the groups' axis
    """

    values: Mapping[str, Tensor]
    variances: Mapping[str, Tensor]
    group_noise: Mapping[str, Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        weights = sum(variance.numel() for variance in self.variances.values())
        return f"Posterior({len(self.values)} tensors, {weights:,} weights with a variance)"

    def __post_init__(self) -> None:
        """Raises InputError for values that are not tensors, for variational weights that are not finite, for negative
        variances, and for variances without a mean of the same shape.
        """
        for name, value in (*self.values.items(), *self.variances.items(), *self.group_noise.items()):
            tensor: object = value
            if not isinstance(tensor, Tensor) or tensor.is_meta or isinstance(tensor, nn.UninitializedParameter):
                raise InputError(f"{printable(name)} of the posterior is not a tensor with values; train again.")
        for name, value in self.values.items():
            if name in self.variances:
                _check_finite(name, value)
        for name, variance in self.variances.items():
            if name not in self.values or self.values[name].shape != variance.shape:
                raise InputError(f"The variance of {name} has no mean of the same shape; train again.")
            if not bool((torch.isfinite(variance) & (variance >= 0)).all()):
                raise InputError(f"The variance of {name} holds negative or non-finite values; train again.")
        for name, noise in self.group_noise.items():
            shape = self.values[name].shape if name in self.values else ()
            fits = (extent in (1, whole) for extent, whole in zip(noise.shape, shape, strict=False))
            if len(shape) < 2 or noise.ndim != len(shape) or not all(fits):
                raise InputError(f"The group noise of {name} fits no weight of that name; train again.")

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Posterior:
        """A posterior from tensors with the names that the run directory uses.

        `NAME` holds values, `NAME/variance` the variances of a variational weight, and `NAME/group_noise` the noise of
        its groups if it shares scales.
        """

        def ending(suffix: str) -> dict[str, Tensor]:
            return {name.removesuffix(suffix): t for name, t in tensors.items() if name.endswith(suffix)}

        values = {
            name: tensor
            for name, tensor in tensors.items()
            if not name.endswith((_VARIANCE, _NOISE)) and not is_extra_state(name)
        }
        return cls(values, ending(_VARIANCE), ending(_NOISE))

    def log_alpha(self, name: str) -> Tensor:
        """Log of the noise-to-signal ratio variance / mean^2 of each weight of tensor `name`."""
        return torch.log(self.variances[name] + 1e-38) - torch.log(self.values[name].square() + _TINY)

    def load_into(self, network: nn.Module) -> None:
        """Load the posterior means into `network`, in place.

        Raises InputError, which names the tensor, when a tensor does not fit, and when a tensor that is not a constant
        of the network (see constants.py) is not finite.
        """
        expected = tensors_of(network)
        constants = {name for name, _, _ in user_buffers(network)}
        for name, tensor in expected.items():
            if name not in self.values:
                raise InputError(
                    f"The posterior lacks the network's tensor {name}; the network changed since training, so train "
                    "again."
                )
            if self.values[name].shape != tensor.shape:
                raise InputError(
                    f"Tensor {name} has shape {tuple(self.values[name].shape)} in the posterior and "
                    f"{tuple(tensor.shape)} in the network; the network changed since training, so train again."
                )
            if name not in constants:
                _check_finite(name, self.values[name])
        if surplus := sorted(name for name in self.values if name not in expected and not is_extra_state(name)):
            raise InputError(
                f"The posterior holds the tensor {surplus[0]}, which the network lacks; the network changed since "
                "training, so train again."
            )
        network.load_state_dict({**network.state_dict(), **{name: self.values[name] for name in expected}})


def _check_finite(name: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise InputError(f"Tensor {printable(name)} of the posterior holds NaN or infinite values; train again.")


def read_posterior(path: Path) -> Posterior:
    """Read the posterior from the `posterior.safetensors` of a run directory.

    Raises InputError when the file is missing, and CorruptFileError when it is damaged.
    """
    if not path.is_file():
        raise InputError(f"There is no posterior at {path}; finish training first (`bayespress train --resume RUN`).")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(f"{path} is not a complete safetensors file ({error}); train again.") from None
    return Posterior.from_tensors(tensors)
