"""Choose a dense or a sparse kernel for each layer with a cost model: a linear model fitted to measured times.

The coefficients are nanoseconds on the machine of benchmarks/RESULTS.md (`python benchmarks/cost_model.py` measures and
fits them). Another processor changes both times by about the same factor, and only their order matters here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .layers import Layer

_VECTOR = 16  # a dense kernel computes output channels in multiples of this number
KERNELS = ("auto", "dense", "sparse")
# This bound is assumed, not measured. At this density the sparse kernel computes a tenth of the dense kernel's
# products, which compensates for its scattered reads. Tuned sparse kernels are faster below a density of 29 % already
# (Gale et al. 2020, Sparse GPU Kernels for Deep Learning, figure 1).
_GPU_DENSITY = 0.1


@dataclass(frozen=True)
class Coefficients:
    """Nanoseconds per unit of work; `dense_work` and `sparse_work` define the units."""

    dense_convolution: tuple[float, ...]
    dense_product: tuple[float, ...]
    sparse_convolution: tuple[float, ...]
    sparse_product: tuple[float, ...]


FITTED = Coefficients(
    dense_convolution=(0.0126, 0.613, 0.282, 0.0, 0.0),
    dense_product=(0.0661, 0.0, 56.9),
    sparse_convolution=(0.195, 0.564, 0.0, 0.155, 0.057, 0.114, 0.0),
    sparse_product=(0.202, 1.76, 29.3),
)


@dataclass(frozen=True)
class KernelDecision:
    """The kernel chosen for a layer, and the reason.

    kernel               "dense" or "sparse"
    density_percent      stored weights, in percent of all weights of the layer
    dense_us, sparse_us  predicted microseconds on the machine that the model was fitted on; None for a GPU
    """

    layer: str
    kernel: str
    density_percent: float
    dense_us: float | None
    sparse_us: float | None
    reason: str


DecideKernels = Callable[[Sequence[Layer], Sequence[str], str], list[KernelDecision]]


def dense_work(layer: Layer) -> tuple[float, ...]:
    """Units of work of the dense kernel.

    For a convolution: multiply-adds (output channels rounded up to whole vectors), floats copied to a padded input,
    outputs, outputs that are pooled, kernel calls. For a dense layer: multiply-adds, outputs, kernel calls.
    """
    outputs = float(layer.pixels * layer.outputs)
    if layer.geometry is None:
        return float(layer.pixels * math.prod(layer.shape)), outputs, 1.0
    filled = -(-layer.outputs // _VECTOR) * _VECTOR
    macs = float(layer.pixels * filled * math.prod(layer.shape[1:]))
    bordered = layer.geometry.window.before != (0, 0) or layer.geometry.window.after != (0, 0)
    copied = layer.batch * layer.geometry.channels * math.prod(layer.geometry.plane) if bordered else 0
    return macs, float(copied), outputs, _pooled(layer), 1.0


def sparse_work(layer: Layer) -> tuple[float, ...]:
    """Units of work of the sparse kernel.

    For a convolution: vector multiply-adds, entries read, tiles, floats copied, outputs, outputs that are pooled,
    kernel calls. For a dense layer: vector multiply-adds, outputs, kernel calls.
    """
    if layer.geometry is None:
        blocks = -(-layer.batch // 8)
        return float(blocks * layer.stored.count), float(layer.pixels * layer.outputs), 1.0
    tiling, batch = layer.geometry.tiling, layer.batch
    copied = layer.geometry.copied_size if layer.geometry.copies_input else 0
    return (
        float(batch * layer.stored.count * tiling.tiles * tiling.vectors),
        float(batch * layer.stored.count * tiling.tiles),
        float(batch * layer.outputs * tiling.tiles), float(batch * copied), float(layer.pixels * layer.outputs),
        _pooled(layer), 1.0,
    )  # fmt: skip


def _pooled(layer: Layer) -> float:
    """Outputs that the layer's epilogue pools."""
    return float(layer.pixels * layer.outputs) if layer.epilogue.pool is not None else 0.0


def estimate(layer: Layer, coefficients: Coefficients = FITTED) -> tuple[float, float]:
    """Predicted microseconds of the dense kernel and of the sparse kernel."""
    product = layer.geometry is None
    dense = coefficients.dense_product if product else coefficients.dense_convolution
    sparse = coefficients.sparse_product if product else coefficients.sparse_convolution
    return _dot(dense, dense_work(layer)) / 1e3, _dot(sparse, sparse_work(layer)) / 1e3


def choose(layers: Sequence[Layer], names: Sequence[str], kernels: str = "auto") -> list[KernelDecision]:
    """Choose the processor's kernel for each layer.

    names    the layers' names, for reports
    kernels  "dense" or "sparse" for all layers; "auto" takes the faster one by the cost model
    """
    decisions = []
    for layer, name in zip(layers, names, strict=True):
        dense, sparse = estimate(layer)
        density = 100.0 * _density(layer)
        kernel, reason = kernels, "requested"
        if kernels == "auto":
            kernel = "sparse" if sparse < dense else "dense"
            ratio = max(dense, sparse) / min(dense, sparse)
            reason = f"{density:.1f} % of the weights are stored; {kernel} is predicted to be {ratio:.1f} times as fast"
        decisions.append(KernelDecision(name, kernel, density, dense, sparse, reason))
    return decisions


def choose_for_gpu(layers: Sequence[Layer], names: Sequence[str], kernels: str = "auto") -> list[KernelDecision]:
    """Choose the GPU's kernel for each layer. Arguments as in `choose`; "auto" decides by the density."""
    decisions = []
    for layer, name in zip(layers, names, strict=True):
        density = _density(layer)
        kernel, reason = kernels, "requested"
        if kernels == "auto":
            kernel = "sparse" if density < _GPU_DENSITY else "dense"
            reason = f"a GPU runs a layer sparse if less than {100 * _GPU_DENSITY:g} % of its weights are stored"
        decisions.append(KernelDecision(name, kernel, 100.0 * density, None, None, reason))
    return decisions


def _density(layer: Layer) -> float:
    return layer.stored.count / math.prod(layer.shape)


def _dot(coefficients: Sequence[float], work: Sequence[float]) -> float:
    return sum(c * w for c, w in zip(coefficients, work, strict=True))
