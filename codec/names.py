"""Names as the file has them: what they share with the one before, and abbreviated endings (FORMAT.md, section 4.2)."""

from __future__ import annotations

from itertools import takewhile

from .bits import varint

_LONGEST = 20  # bytes of the longest abbreviated ending
ABBREVIATIONS = (b".weight", b".bias", b".running_mean", b".running_var", b".num_batches_tracked")


def name_bytes(name: bytes, before: bytes) -> bytes:
    """The bytes of `name` behind an entry called `before` (empty: there is none), as few as can be."""
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, before, strict=False)))
    # Sharing less may be shorter where an abbreviated ending begins in what is shared and goes on behind it.
    return min((_spelled(name, shared) for shared in range(common, max(common - _LONGEST, -1), -1)), key=len)


def _spelled(name: bytes, shared: int) -> bytes:
    rest = name[shared:]
    for code, text in enumerate(ABBREVIATIONS, 1):
        rest = rest.replace(text, bytes([code]))
    head = bytes([min(shared, 15) << 4 | min(len(rest), 15)])
    return head + b"".join(varint(count - 15) for count in (shared, len(rest)) if count >= 15) + rest
