"""The sizes of tensors under the storage scheme of Han et al., stage by stage, to compare with published tables.

Ullrich, Meeds and Welling 2017 ("Soft Weight-Sharing for Neural Network Compression"), appendix A: compressed sparse
rows (A, IR, IC), of which each array is stored more tightly in turn. No file is written so; FORMAT.md has what is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .tensor import QuantizedTensor, Tensor

_ORIGINAL = 32  # p_orig: bits of an original number
DENSE_BITS, CONVOLUTION_BITS = 5, 8  # p of relative column indices, as in Han et al.


@dataclass(frozen=True)
class HanSizes:
    """One matrix under the scheme; sizes in bits.

    nonzero, fillers  entries that stand for weights, and zeros that bridge distances too long for p bits
    index_bits   p of relative column indices
    rate         r_p of equation 9: |W| / (2 |W != 0| + K + 1), what compressed sparse rows alone come to
    original     |W| p_orig
    rows         compressed sparse rows, all three arrays in p_orig bits
    a1           IR in p_prun bits, the fewest that hold |W != 0|
    a2           IC as differences in p bits, with fillers in A
    a3           A as indices into a codebook, which is stored beside them
    huffman      both index streams under Huffman codes
    """

    name: str
    nonzero: int
    fillers: int
    index_bits: int
    rate: float
    original: int
    rows: int
    a1: int
    a2: int
    a3: int
    huffman: int


STAGES = ("original", "rows", "a1", "a2", "a3", "huffman")


def han_sizes(tensors: Sequence[Tensor]) -> list[HanSizes]:
    """The scheme's stages for each quantised tensor of rank 2 or more that has a non-zero; biases are left out."""
    return [
        _sizes(tensor)
        for tensor in tensors
        if isinstance(tensor, QuantizedTensor) and tensor.levels.ndim >= 2 and tensor.levels.any()
    ]


def _sizes(tensor: QuantizedTensor) -> HanSizes:
    levels = tensor.levels.reshape(tensor.levels.shape[0], -1)
    rows, columns = np.nonzero(levels)
    index_bits = DENSE_BITS if tensor.levels.ndim == 2 else CONVOLUTION_BITS
    furthest = (1 << index_bits) - 1
    # IC is a column for the first entry of a row, and the distance from the entry before for the others.
    first = np.diff(rows, prepend=-1) != 0
    distances = np.where(first, columns, np.diff(columns, prepend=0))
    fillers = np.maximum(-(-distances // furthest) - 1, 0)  # a zero each at the furthest distance that p bits hold
    values = tensor.value_map.values(levels[rows, columns])
    nonzero, stored = values.size, values.size + int(fillers.sum())
    codebook = np.unique(values).size + int(stored > nonzero)  # the fillers' zero is a value too
    prune_bits = nonzero.bit_length()
    pointers = (levels.shape[0] + 1) * prune_bits
    index_stream = Counter((distances - fillers * furthest).tolist()) + Counter({furthest: stored - nonzero})
    value_stream = Counter(values.tolist()) + Counter({0.0: stored - nonzero})
    a2 = pointers + stored * (index_bits + _ORIGINAL)
    a3 = pointers + stored * (index_bits + max(1, (codebook - 1).bit_length())) + codebook * _ORIGINAL
    return HanSizes(
        name=tensor.name,
        nonzero=nonzero,
        fillers=stored - nonzero,
        index_bits=index_bits,
        rate=levels.size / (2 * nonzero + levels.shape[0] + 1),
        original=levels.size * _ORIGINAL,
        rows=(2 * nonzero + levels.shape[0] + 1) * _ORIGINAL,
        a1=2 * nonzero * _ORIGINAL + pointers,
        a2=a2,
        a3=a3,
        huffman=pointers + _huffman_bits(index_stream) + _huffman_bits(value_stream) + codebook * _ORIGINAL,
    )


def _huffman_bits(stream: Counter[int] | Counter[float]) -> int:
    """Bits of a stream under its own Huffman code, its table left out, as in the papers."""
    if len(stream) < 2:
        return stream.total()
    import huffman

    lengths = {symbol: len(code) for symbol, code in huffman.codebook(stream.items()).items()}
    return sum(lengths[symbol] * count for symbol, count in stream.items())
