"""Length-limited Huffman code lengths; codes are made from them canonically on both sides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_CODE_LENGTH = 12
MAX_ALPHABET = 4096


def code_lengths(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Code length of each symbol, 0 for those that do not occur, none above MAX_CODE_LENGTH.

    counts  occurrences of symbol 0, 1, ...; (alphabet,), at least two of them above 0

    The code is complete: the sum of 2^-length is 1. Where Huffman's code is too deep, the counts are flattened
    by halving until it is not, which costs a fraction of a percent on rare symbols.
    """
    import huffman

    used = np.flatnonzero(counts)
    if not 2 <= len(used) <= 1 << MAX_CODE_LENGTH:
        raise ValueError(f"{len(used)} symbols occur, and a code has 2 to {1 << MAX_CODE_LENGTH}")
    weights = counts[used].tolist()
    while True:
        codes = huffman.codebook(zip(used.tolist(), weights, strict=True))
        if max(len(code) for code in codes.values()) <= MAX_CODE_LENGTH:
            break
        weights = [(weight + 1) // 2 for weight in weights]
    lengths = np.zeros(len(counts), np.uint8)
    for symbol, code in codes.items():
        lengths[symbol] = len(code)
    return lengths
