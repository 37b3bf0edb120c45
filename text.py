"""Text from strangers: names in files, device output and messages of other libraries, made safe to print."""

from __future__ import annotations

import unicodedata

# Categories of Unicode characters that change how other characters are shown, or that show nothing: control (Cc),
# format (Cf, which holds the bidirectional overrides), surrogate (Cs), private use (Co), unassigned (Cn), line and
# paragraph separators (Zl, Zp).
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def printable(text: object) -> str:
    r"""`text` on one line, with every character that a terminal or a page would obey instead of show escaped.

    >>> printable("a\x1b[31mb\u202ec")
    'a\\x1b[31mb\\u202ec'
    """
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _HIDDEN else character
        for character in str(text)
    )
