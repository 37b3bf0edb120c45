"""Canonical, length-limited Huffman codes; the `huffman` package builds the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MAX_CODE_LENGTH = 12
MAX_SYMBOLS = 4096
FIRST_REFERENCE_LENGTH = 3


def code_lengths(frequencies: Mapping[int, int]) -> list[int]:
    """Bits of each symbol's code, by symbol from 0 to the largest; 0 for a symbol that does not occur.

    frequencies  at least two symbols, below MAX_SYMBOLS, each with a positive count; a single symbol has no
                 Huffman code, and a fixed-width code of no bits serves it

    The code is optimal among those of at most 12 bits and full: the sum of 2^-length is 1.
    """
    if len(frequencies) < 2 or max(frequencies) >= MAX_SYMBOLS or min(frequencies.values()) < 1:
        raise ValueError("A Huffman code needs two symbols or more, all of them below 4096 and with positive counts.")
    import huffman

    # Sorted, because ties are broken by the order of the input: the same code on every run.
    by_symbol = {symbol: len(code) for symbol, code in huffman.codebook(sorted(frequencies.items())).items()}
    if max(by_symbol.values()) > MAX_CODE_LENGTH:
        by_symbol = _package_merge(sorted(frequencies.items()))
    return [by_symbol.get(symbol, 0) for symbol in range(max(by_symbol) + 1)]


def _package_merge(frequencies: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Optimal lengths of at most MAX_CODE_LENGTH bits (Larmore and Hirschberg 1990).

    Each symbol is a coin of each value from 2^-12 to 2^-1; packages of two pass to the next larger value.
    The 2n - 2 cheapest items of value 2^-1 hold each symbol once for every bit of its code.
    """
    leaves: list[tuple[int, tuple[int, ...]]] = sorted((count, (symbol,)) for symbol, count in frequencies)
    items = leaves
    for _ in range(MAX_CODE_LENGTH - 1):
        pairs = zip(items[0::2], items[1::2], strict=False)
        packages = [(one[0] + two[0], one[1] + two[1]) for one, two in pairs]
        items = sorted(leaves + packages, key=lambda item: item[0])
    lengths = dict.fromkeys((symbol for symbol, _ in frequencies), 0)
    for _, members in items[: 2 * len(leaves) - 2]:
        for symbol in members:
            lengths[symbol] += 1
    return lengths


def canonical_codes(lengths: Sequence[int]) -> list[int]:
    """The codes of these lengths: shorter before longer, then by symbol, each the one before plus one."""
    codes = [0] * len(lengths)
    code = 0
    for length in range(1, MAX_CODE_LENGTH + 1):
        code <<= 1
        for symbol, own in enumerate(lengths):
            if own == length:
                codes[symbol] = code
                code += 1
    return codes


def length_tokens(lengths: Sequence[int]) -> list[int]:
    """The lengths as the file stores them (FORMAT.md, section 7.2): one token for each symbol."""
    tokens, reference_length = [], FIRST_REFERENCE_LENGTH
    for length in lengths:
        if length == 0:
            tokens.append(1)
        elif length == reference_length:
            tokens.append(0)
        else:
            longer = length - reference_length
            tokens.append(2 * longer if longer > 0 else 1 - 2 * longer)
            reference_length = length
    return tokens
