"""Which coding each tensor of a struck network gets, and how its values are moved onto it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..codec import Grid, Minifloat
from ..codec.precision import (
    SCALE_NOISE,
    WEIGHT_NOISE,
    assumed_variance,
    grid_step,
    implied_variance,
    largest_float,
    round_off_float,
)
from .codebook import kmeans, nearest_shared
from .normalise import normalise_statistics
from .posterior import Posterior
from .quantize import SHARED, Coding, distinct_values, grid_levels, grid_values, storable_step
from .rate import rate_levels
from .settings import LARGEST_CODEBOOK, CompressSettings
from .shrink import Shrunk
from .tensors import tensors_of


def choose_codings(struck: Shrunk, posterior: Posterior, settings: CompressSettings) -> dict[str, Coding]:
    """The coding of each tensor but those that stay raw: variational weights, the biases beside them, batch norms.

    The network's batch norms are normalised, see normalise.py.

    A weight without variance is a point estimate: it shares values whatever `settings` say.
    """
    codings: dict[str, Coding] = {}
    state = tensors_of(struck.network)
    for name in normalise_statistics(struck.network):
        codings |= _norm_codings(name, state, settings)
    for name, tensor in state.items():
        if name not in posterior.variances:
            continue
        kept = tensor != 0
        variance = variance_of(struck, posterior, name)[kept]
        bias = _bias_of(name)
        has_bias = bias in state
        if settings.quantizer == "size" and variance.numel():
            codings[name] = Grid(storable_step(grid_step(_assumed(tensor, WEIGHT_NOISE), settings.budget)))
        elif settings.quantizer == "codebook" or (variance.numel() and not bool(variance.any())):
            codings[name] = SHARED
            if has_bias and settings.quantizer == "codebook":
                codings[bias] = SHARED
        elif not variance.numel():
            codings[name] = Grid(1.0)  # nothing left to round; any step codes zeros
        elif settings.quantizer == "round-off":
            codings[name] = round_off_float(tensor[kept], variance)
            if has_bias and bool(state[bias].any()):
                codings[bias] = round_off_float(state[bias], variance)
        else:
            codings[name] = Grid(storable_step(grid_step(variance, settings.budget)))
    return with_biases(state, codings)


def with_biases(state: Mapping[str, Tensor], codings: Mapping[str, Coding]) -> dict[str, Coding]:
    """The codings of tensors in `state`, and of biases that constants of dead units went into.

    A bias is the weight of an input that is always one: it shares its layer's grid, unless it has one of its own. One
    that small floats do not reach stays raw.
    """
    found = {name: coding for name, coding in codings.items() if name in state}
    for name, coding in codings.items():
        bias = _bias_of(name)
        if isinstance(coding, Grid) and bias in state and bias not in codings:
            found[bias] = coding
        reach = found.get(bias)
        if isinstance(reach, Minifloat) and float(state[bias].abs().max()) > largest_float(reach):
            del found[bias]
    return found


def round_to(
    struck: Shrunk, posterior: Posterior, codings: Mapping[str, Coding], settings: CompressSettings
) -> dict[str, Tensor]:
    """The values of each coded tensor on its coding, by name; the network is left as it is.

    On a grid, levels are chosen by `settings.rate_weight`; of point estimates that have few values already, those stay.
    """
    state = tensors_of(struck.network)
    found: dict[str, Tensor] = {}
    centroids: Tensor | None = None
    if settings.shared:
        together = [state[name][state[name] != 0].flatten() for name in codings if name in posterior.variances]
        centroids = kmeans(torch.cat(together), settings.clusters, settings.codebook_start)
    for name, coding in codings.items():
        tensor = state[name]
        if isinstance(coding, Grid):
            if name in posterior.variances:
                variance = variance_of(struck, posterior, name)
                if settings.quantizer == "size":
                    variance = _assumed(tensor, WEIGHT_NOISE)
            else:
                variance = torch.full_like(tensor, implied_variance(coding.step, settings.budget))
            levels = grid_levels(name, tensor, coding.step)  # refuses what is too fine
            if settings.rate_weight > 0.0:
                levels = rate_levels(tensor, variance, coding.step, settings.rate_weight)
            found[name] = grid_values(levels, coding.step)
        elif isinstance(coding, Minifloat):
            values = coding.values(coding.nearest(tensor.float().numpy()))
            found[name] = torch.from_numpy(values).reshape(tensor.shape)
        else:
            found[name] = _shared(tensor, settings, centroids if name in posterior.variances else None)
    return found


def _norm_codings(name: str, state: Mapping[str, Tensor], settings: CompressSettings) -> dict[str, Coding]:
    """Grids for a normalised batch norm; scale and shift stay raw where shared values or small floats are asked for."""
    prefix = f"{name}." if name else ""
    codings: dict[str, Coding] = {
        f"{prefix}running_mean": Grid(1.0),
        f"{prefix}running_var": Grid(float(state[f"{prefix}running_var"][0])),
    }
    if settings.quantizer in ("posterior", "size"):
        for leaf in ("weight", "bias"):
            tensor = state[f"{prefix}{leaf}"]
            codings[f"{prefix}{leaf}"] = Grid(
                storable_step(grid_step(_assumed(tensor, SCALE_NOISE), settings.budget)) if bool(tensor.any()) else 1.0
            )
    return codings


def _assumed(tensor: Tensor, noise: float) -> Tensor:
    """What stands in for the variances of a tensor's elements."""
    return torch.full_like(tensor, assumed_variance(tensor[tensor != 0], noise) if bool(tensor.any()) else 1.0)


def _bias_of(weight: str) -> str:
    """Name of the bias beside a weight, in the same layer; of what is no weight, a name that no tensor has."""
    layer, _, leaf = weight.rpartition(".")
    return f"{layer}.bias".removeprefix(".") if leaf == "weight" else ""


def variance_of(struck: Shrunk, posterior: Posterior, name: str) -> Tensor:
    """Posterior variance of each weight of tensor `name` as it was struck."""
    return posterior.variances[name].flatten()[struck.kept[name]]


def _shared(tensor: Tensor, settings: CompressSettings, centroids: Tensor | None) -> Tensor:
    """The tensor with shared values: those it has, if they are few and no codebook was asked for, or k-means'."""
    values = distinct_values(tensor)
    if len(values) == 0 or (settings.quantizer != "codebook" and len(values) <= LARGEST_CODEBOOK):
        return tensor
    if centroids is None:
        centroids = kmeans(tensor[tensor != 0].flatten(), settings.clusters, settings.codebook_start)
    return nearest_shared(tensor, centroids)
