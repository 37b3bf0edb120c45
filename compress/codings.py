"""Choose a coding for each tensor of a shrunk network, and round the tensor's values to it."""

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


def choose_codings(shrunk: Shrunk, posterior: Posterior, settings: CompressSettings) -> dict[str, Coding]:
    """The codings, by tensor name, of variational weights, their layers' biases, and batch norms.

    All other tensors are stored as raw float32 and have no entry. Batch norms are normalised in place, see
    normalise.py. A weight whose variances are all 0 is a point estimate and gets shared values, whatever the quantizer.
    """
    codings: dict[str, Coding] = {}
    state = tensors_of(shrunk.network)
    for name in normalise_statistics(shrunk.network):
        codings |= _norm_codings(name, state, settings)
    for name, tensor in state.items():
        if name not in posterior.variances:
            continue
        kept = tensor != 0
        variance = variance_of(shrunk, posterior, name)[kept]
        bias = _bias_of(name)
        has_bias = bias in state
        if settings.quantizer == "size" and variance.numel():
            codings[name] = Grid(storable_step(grid_step(_assumed(tensor, WEIGHT_NOISE), settings.budget)))
        elif settings.quantizer == "codebook" or (variance.numel() and not bool(variance.any())):
            codings[name] = SHARED
            if has_bias and settings.quantizer == "codebook":
                codings[bias] = SHARED
        elif not variance.numel():
            codings[name] = Grid(1.0)  # all weights are 0, which any step codes
        elif settings.quantizer == "round-off":
            codings[name] = round_off_float(tensor[kept], variance)
            if has_bias and bool(state[bias].any()):
                codings[bias] = round_off_float(state[bias], variance)
        else:
            codings[name] = Grid(storable_step(grid_step(variance, settings.budget)))
    return with_biases(state, codings)


def with_biases(state: Mapping[str, Tensor], codings: Mapping[str, Coding]) -> dict[str, Coding]:
    """Restrict `codings` to the tensors in `state`, and add the biases, also those that folding created.

    A bias is the weight of an input that is always one, so it shares the grid of its layer's weight unless it has its
    own coding. A bias beyond the range of its small-float format is stored as raw float32.
    """
    complete = {name: coding for name, coding in codings.items() if name in state}
    for name, coding in codings.items():
        bias = _bias_of(name)
        if isinstance(coding, Grid) and bias in state and bias not in codings:
            complete[bias] = coding
        bias_coding = complete.get(bias)
        if isinstance(bias_coding, Minifloat) and float(state[bias].abs().max()) > largest_float(bias_coding):
            del complete[bias]
    return complete


def round_to(
    shrunk: Shrunk, posterior: Posterior, codings: Mapping[str, Coding], settings: CompressSettings
) -> dict[str, Tensor]:
    """The rounded values of each coded tensor, by name; the network is not changed.

    On a grid, `settings.rate_weight` decides between neighbouring levels. A point estimate that has few distinct values
    keeps them.
    """
    state = tensors_of(shrunk.network)
    rounded: dict[str, Tensor] = {}
    centroids: Tensor | None = None
    if settings.shared:
        together = [state[name][state[name] != 0].flatten() for name in codings if name in posterior.variances]
        centroids = kmeans(torch.cat(together), settings.clusters, settings.codebook_start)
    for name, coding in codings.items():
        tensor = state[name]
        if isinstance(coding, Grid):
            if name in posterior.variances:
                variance = variance_of(shrunk, posterior, name)
                if settings.quantizer == "size":
                    variance = _assumed(tensor, WEIGHT_NOISE)
            else:
                variance = torch.full_like(tensor, implied_variance(coding.step, settings.budget))
            levels = grid_levels(name, tensor, coding.step)  # raises InputError if the step is too fine
            if settings.rate_weight > 0.0:
                levels = rate_levels(tensor, variance, coding.step, settings.rate_weight)
            rounded[name] = grid_values(levels, coding.step)
        elif isinstance(coding, Minifloat):
            values = coding.values(coding.nearest(tensor.float().numpy()))
            rounded[name] = torch.from_numpy(values).reshape(tensor.shape)
        else:
            rounded[name] = _shared(tensor, settings, centroids if name in posterior.variances else None)
    return rounded


def _norm_codings(name: str, state: Mapping[str, Tensor], settings: CompressSettings) -> dict[str, Coding]:
    """Grids for a normalised batch norm; scale and shift have none with the quantizers codebook and round-off."""
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
    """The variance assumed for a tensor without posterior variances, one value for all elements; the tensor's shape."""
    return torch.full_like(tensor, assumed_variance(tensor[tensor != 0], noise) if bool(tensor.any()) else 1.0)


def _bias_of(weight: str) -> str:
    """Name of the bias in the layer of this weight; an empty string for a tensor that is not a layer's weight."""
    layer, _, leaf = weight.rpartition(".")
    return f"{layer}.bias".removeprefix(".") if leaf == "weight" else ""


def variance_of(shrunk: Shrunk, posterior: Posterior, name: str) -> Tensor:
    """The posterior variances of the weights that remain in tensor `name`, in its shrunk shape."""
    return posterior.variances[name].flatten()[shrunk.kept[name]]


def _shared(tensor: Tensor, settings: CompressSettings, centroids: Tensor | None) -> Tensor:
    """The tensor with shared values: its own if they are few and no codebook was asked for, else k-means centroids."""
    values = distinct_values(tensor)
    if len(values) == 0 or (settings.quantizer != "codebook" and len(values) <= LARGEST_CODEBOOK):
        return tensor
    if centroids is None:
        centroids = kmeans(tensor[tensor != 0].flatten(), settings.clusters, settings.codebook_start)
    return nearest_shared(tensor, centroids)
