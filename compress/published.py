"""Published compression results, for comparison in reports.

Ratios are relative to 4 bytes per parameter of the original network. Some papers count only parameters, or estimate
bits instead of writing a file; `kind` states which. Errors are top-1 errors in percent on the test set.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One published result.

    kind           what the ratio counts: file, parameters, or an estimate
    ratio          size of the original network over the compressed size
    error_percent  top-1 test error
    """

    method: str
    kind: str
    ratio: float
    error_percent: float


PUBLISHED: dict[tuple[str, str], tuple[Published, ...]] = {
    ("lenet-300-100", "mnist"): (
        Published("Deep Compression (Han et al. 2016)", "file", 40, 1.58),
        Published("Dynamic Network Surgery (Guo et al. 2016)", "coder of Ullrich et al.", 56, 1.99),
        Published("Soft Weight-Sharing (Ullrich et al. 2017)", "file", 64, 1.94),
        Published("Sparse VD (Molchanov et al. 2017)", "parameters", 68, 1.92),
        Published("Sparse VD (Louizos et al. 2017)", "maximum, final coding", 113, 1.8),
        Published("BC-GNJ (Louizos et al. 2017)", "maximum, final coding", 58, 1.8),
        Published("BC-GHS (Louizos et al. 2017)", "maximum, final coding", 59, 1.9),
        Published("Entropy-penalised (Oktay et al. 2020)", "file", 124, 1.9),
    ),
    ("lenet-5-caffe", "mnist"): (
        Published("Deep Compression (Han et al. 2016)", "file", 39, 0.74),
        Published("Dynamic Network Surgery (Guo et al. 2016)", "coder of Ullrich et al.", 108, 0.91),
        Published("Soft Weight-Sharing (Ullrich et al. 2017)", "file", 162, 0.97),
        Published("Sparse VD (Molchanov et al. 2017)", "parameters", 280, 0.75),
        Published("Sparse VD (Louizos et al. 2017)", "maximum", 228, 1.0),
        Published("BC-GNJ (Louizos et al. 2017)", "maximum", 361, 1.0),
        Published("BC-GHS (Louizos et al. 2017)", "maximum, final coding", 771, 1.0),
        Published("Entropy-penalised (Oktay et al. 2020)", "file", 606, 1.0),
        Published("MIRACLE, lowest error (Havasi et al. 2019)", "file", 555, 0.69),
        Published("MIRACLE, smallest (Havasi et al. 2019)", "file", 1110, 0.96),
    ),
    ("vgg", "cifar10"): (
        Published("BC-GNJ (Louizos et al. 2017)", "maximum, final coding", 95, 8.8),
        Published("BC-GHS (Louizos et al. 2017)", "maximum, final coding", 116, 9.0),
        Published("Entropy-penalised, VGG-16 (Oktay et al. 2020)", "file", 590, 10.0),
        Published("LilNetX, VGG-16 (Girish et al. 2023)", "file", 465, 7.4),
        Published("LilNetX, VGG-16 (Girish et al. 2023)", "file", 800, 10.0),
    ),
    ("wrn-16-4", "cifar10"): (Published("Soft Weight-Sharing (Ullrich et al. 2017)", "file", 45, 8.50),),
}  # fmt: skip


def published(model: str, data: str | None) -> tuple[Published, ...]:
    """The published results for a model and a data set, by their names in this package; empty if there are none."""
    return PUBLISHED.get((model, data or ""), ())
