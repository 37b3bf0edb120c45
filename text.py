"""Text from strangers: names in files, device output and messages of other libraries, made safe to print."""

from __future__ import annotations

import codecs
import os
import shlex
import unicodedata
from pathlib import Path

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


def shell_word(path: Path | str) -> str:
    r"""`path` as one word of a command that the user may copy into a shell.

    What a terminal would obey is written in the shell's own escapes, so the word still names that very path.

    >>> shell_word("my net.bpz"), shell_word("a\nb"), shell_word("-x")
    ("'my net.bpz'", "$'a\\nb'", './-x')
    """
    text = str(path)
    return shell_quoted(f"./{text}" if text.startswith("-") else text)  # an option otherwise


def shell_quoted(text: str) -> str:
    """Any word of a command, also an option, quoted as in `shell_word`."""
    if printable(text) == text:
        return shlex.quote(text)
    shown = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if printable(c) == c else _shell_escape(c) for c in shown) + "'"


def _shell_escape(character: str) -> str:
    if character == "\n":
        return "\\n"
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


# What stands for a character of ours on a terminal whose encoding lacks it.
_PLAIN = str.maketrans(
    {
        "·": "-", "–": "-", "—": "-", "µ": "u", "²": "^2", "×": "x", "→": "->", "←": "<-", "…": "...", "°": "deg",
        "±": "+-", "≤": "<=", "≥": ">=", "─": "-", "━": "-", "│": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+",
    }
)  # fmt: skip
ENCODING_ERRORS = "bayespress.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """For codecs: our own signs in ASCII, everything else escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(ENCODING_ERRORS, _plain)
