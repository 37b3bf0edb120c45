"""Untrusted text made safe to print: names in files, output of devices and messages of other libraries."""

from __future__ import annotations

import codecs
import os
import shlex
import unicodedata
from pathlib import Path

# Categories of Unicode characters that are invisible or change how other characters are shown: control (Cc), format
# (Cf, with the bidirectional overrides), surrogate (Cs), private use (Co), unassigned (Cn), line and paragraph
# separators (Zl, Zp).
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def printable(text: object) -> str:
    r"""`text` on one line, with an escape for every character that is invisible or controls a terminal.

    >>> printable("a\x1b[31mb\u202ec")
    'a\\x1b[31mb\\u202ec'
    """
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _HIDDEN else character
        for character in str(text)
    )


def shell_word(path: Path | str) -> str:
    r"""`path` as one word of a command that the user can copy into a shell.

    Characters that are unsafe to print are written as escapes of the shell, so the word still names the same path.

    >>> shell_word("my net.bpz"), shell_word("a\nb"), shell_word("-x")
    ("'my net.bpz'", "$'a\\nb'", './-x')
    """
    text = str(path)
    return shell_quoted(f"./{text}" if text.startswith("-") else text)  # without ./ it would be an option


def shell_quoted(text: str) -> str:
    """Any word of a command, quoted as in `shell_word`; an option is allowed."""
    if printable(text) == text:
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if printable(c) == c else _shell_escape(c) for c in escaped) + "'"


def _shell_escape(character: str) -> str:
    if character == "\n":
        return "\\n"
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


# ASCII replacements for this package's own symbols, for terminals with an encoding that lacks them.
_PLAIN = str.maketrans(
    {
        "·": "-", "–": "-", "—": "-", "µ": "u", "²": "^2", "×": "x", "→": "->", "←": "<-", "…": "...", "°": "deg",
        "±": "+-", "≤": "<=", "≥": ">=", "─": "-", "━": "-", "│": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+",
    }
)  # fmt: skip
ENCODING_ERRORS = "bayespress.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Error handler for codecs: replaces the symbols in _PLAIN by ASCII and escapes every other character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(ENCODING_ERRORS, _plain)
