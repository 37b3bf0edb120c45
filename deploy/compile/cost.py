"""Dense or sparse? What either kernel of a layer takes, by a model with few coefficients, fitted to measurements.

Coefficients are nanoseconds on the machine of benchmarks/RESULTS.md (`python benchmarks/cost_model.py` measures and
fits them). On another processor both sides are slower by about the same factor, and only which is less matters here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .layers import Layer

_VECTOR = 16  # output channels that a dense kernel's vectors may leave unfilled
KERNELS = ("auto", "dense", "sparse")
# On a GPU no layer was measured, as there is none here: below this density the sparse kernel has a tenth of the dense
# one's products to do, which pays for reading its inputs here and there. Kernels that were tuned for it begin to pay
# from 29 % on (Gale et al. 2020, Sparse GPU Kernels for Deep Learning, figure 1).
_GPU_DENSITY = 0.1


@dataclass(frozen=True)
class Coefficients:
    """Nanoseconds for each unit of work; see `dense_work` and `sparse_work` for what the units are."""

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
    """What was chosen for a layer, and why.

    dense_us, sparse_us  what either is expected to take on the machine that the model was fitted on; None on a GPU
    """

    layer: str
    kernel: str
    density_percent: float
    dense_us: float | None
    sparse_us: float | None
    reason: str


DecideKernels = Callable[[Sequence[Layer], Sequence[str], str], list[KernelDecision]]


def dense_work(layer: Layer) -> tuple[float, ...]:
    """Of a convolution: multiply-adds, channels in whole vectors, floats laid out anew, outputs, those of them that are
    pooled, one kernel; of a product: multiply-adds, outputs, one kernel.
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
    """Of a convolution: vectors added, entries met, tiles begun, floats copied, outputs, those of them that are pooled,
    one kernel; of a product: entries met by a vector of examples, outputs, one kernel.
    """
    if layer.geometry is None:
        blocks = -(-layer.batch // 8)
        return float(blocks * layer.stored.count), float(layer.pixels * layer.outputs), 1.0
    tiling, batch = layer.geometry.tiling, layer.batch
    copied = layer.geometry.copied_size if layer.geometry.copied else 0
    return (
        float(batch * layer.stored.count * tiling.tiles * tiling.vectors),
        float(batch * layer.stored.count * tiling.tiles),
        float(batch * layer.outputs * tiling.tiles), float(batch * copied), float(layer.pixels * layer.outputs),
        _pooled(layer), 1.0,
    )  # fmt: skip


def _pooled(layer: Layer) -> float:
    """Outputs that the layer's own pooling looks at."""
    return float(layer.pixels * layer.outputs) if layer.epilogue.pool is not None else 0.0


def estimate(layer: Layer, coefficients: Coefficients = FITTED) -> tuple[float, float]:
    """Microseconds of the dense and of the sparse kernel."""
    product = layer.geometry is None
    dense = coefficients.dense_product if product else coefficients.dense_convolution
    sparse = coefficients.sparse_product if product else coefficients.sparse_convolution
    return _dot(dense, dense_work(layer)) / 1e3, _dot(sparse, sparse_work(layer)) / 1e3


def choose(layers: Sequence[Layer], names: Sequence[str], kernels: str = "auto") -> list[KernelDecision]:
    """A decision for each layer, called by these names.

    kernels  "dense" or "sparse" for all layers alike, "auto" by the model
    """
    decisions = []
    for layer, name in zip(layers, names, strict=True):
        dense, sparse = estimate(layer)
        density = 100.0 * _density(layer)
        quicker = "sparse" if sparse < dense else "dense"
        if kernels == "auto":
            ratio = max(dense, sparse) / min(dense, sparse)
            reason = f"at {density:.1f} % stored, {quicker} is expected to be {ratio:.1f} times as fast"
        else:
            reason = "asked for"
        decisions.append(
            KernelDecision(name, quicker if kernels == "auto" else kernels, density, dense, sparse, reason)
        )
    return decisions


def choose_for_gpu(layers: Sequence[Layer], names: Sequence[str], kernels: str = "auto") -> list[KernelDecision]:
    """As `choose`, by how many weights are stored."""
    decisions = []
    for layer, name in zip(layers, names, strict=True):
        density = _density(layer)
        kernel, reason = kernels, "asked for"
        if kernels == "auto":
            kernel = "sparse" if density < _GPU_DENSITY else "dense"
            reason = f"GPUs run layers sparse below {100 * _GPU_DENSITY:g} % stored"
        decisions.append(KernelDecision(name, kernel, 100.0 * density, None, None, reason))
    return decisions


def _density(layer: Layer) -> float:
    return layer.stored.count / math.prod(layer.shape)


def _dot(coefficients: Sequence[float], work: Sequence[float]) -> float:
    return sum(c * w for c, w in zip(coefficients, work, strict=True))
