"""Names as the file has them: the difference to the name before, and abbreviations (FORMAT.md, section 4.2)."""

from __future__ import annotations

from itertools import takewhile

from .bits import varint

_LONGEST = 20  # bytes of the longest abbreviation, written out
ABBREVIATIONS = (b".weight", b".bias", b".running_mean", b".running_var", b".num_batches_tracked")


def name_bytes(name: bytes, before: bytes) -> bytes:
    """The fewest bytes that store `name` after an entry called `before` (empty: there is none)."""
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, before, strict=False)))
    # Sharing less can be shorter: where an abbreviation begins within the shared bytes and ends after them.
    return min((_spelled(name, shared_size) for shared_size in range(common, max(common - _LONGEST, -1), -1)), key=len)


def _spelled(name: bytes, shared_size: int) -> bytes:
    stored = name[shared_size:]
    for code, text in enumerate(ABBREVIATIONS, 1):
        stored = stored.replace(text, bytes([code]))
    head = bytes([min(shared_size, 15) << 4 | min(len(stored), 15)])
    return head + b"".join(varint(size - 15) for size in (shared_size, len(stored)) if size >= 15) + stored
