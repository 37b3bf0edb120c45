"""The rules for writing outputs, so that no file of the user is lost.

Every command and every function of the Python interface that writes to a path from the user checks it here:

1. An output may be written to a path that does not exist, or into an empty folder.
2. An existing output is replaced only with `--overwrite` (in Python `overwrite=True`), and only if it is an earlier
   output of the same kind: a packed directory replaces a packed directory, an HTML report replaces an HTML report. A
   kind is recognised by its content, never only by its name. A folder is of a kind if it holds a valid record of that
   kind and no file that the record does not list; the error names the first other file. A file is of a kind by its
   first bytes or by a mark that bayespress writes into it. Anything else is never replaced, with any flags.
3. An output is never one of the command's inputs, above an input, or inside an input. Paths are compared as the file
   system sees them: through symbolic links, hard links and names that differ in case.
4. An output is never the current folder, the home folder, or a folder above one of them.
5. An output is never a symbolic link: neither the link nor its target is replaced. Links in the folders above are
   followed.
6. Only one command at a time writes an output (files.locked).

A private key is never replaced.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import locked, replacing_file, replacing_folder
from .text import printable

_LARGEST_RECORD = 64 << 20  # bytes of a JSON record; usual records have some kilobytes
_HEAD = 4096  # bytes at the beginning of a page or picture that contain the mark of bayespress


@dataclass(frozen=True)
class Kind:
    """A kind of output.

    what         its name in a sentence, as "a packed directory"
    folder       True for a folder, False for a file
    difference   returns how a path differs from an output of this kind, as "it holds thesis.txt", or None
    replaceable  whether --overwrite may replace an output of this kind
    """

    what: str
    folder: bool
    difference: Callable[[Path], str | None]
    replaceable: bool = True


def record_folder(
    what: str, record: str, keys: Iterable[str], members: Callable[[Any], Iterable[str]], inside: Sequence[Kind] = ()
) -> Kind:
    """The kind of a folder with a JSON record.

    record   file name of the record
    keys     required top-level fields of the record, besides `version`
    members  returns the patterns (fnmatch, forward slashes) of all files of the folder, from the parsed record
    inside   kinds of other outputs that the folder may contain
    """
    required = {"version", *keys}

    def difference(path: Path) -> str | None:
        content = _json_of(path / record)
        if not isinstance(content, dict):
            first = min((entry.name for entry in path.iterdir()), default="nothing")
            return f"it holds {printable(first)} and no {record} of bayespress"
        if missing := sorted(required - content.keys()):
            return f"its {record} has no field {missing[0]!r}"
        try:
            patterns = [record, *members(content)]
        except (AttributeError, KeyError, TypeError):
            return f"its {record} is not one of bayespress"
        return _foreign(path, patterns, inside)

    return Kind(what, True, difference)


def _foreign(folder: Path, patterns: Sequence[str], inside: Sequence[Kind]) -> str | None:
    """A clause about the first file, link or empty folder that matches no pattern; None if there is none."""
    for here, names, files in os.walk(folder):
        names.sort()
        for name in list(names):
            path = Path(here, name)
            if path.is_symlink():
                files.append(name)
            elif any(kind.folder and kind.difference(path) is None for kind in inside):
                names.remove(name)
            elif not any(path.iterdir()):
                files.append(name)
        for name in sorted(files):
            path = Path(here, name)
            relative = path.relative_to(folder).as_posix()
            known = any(fnmatch.fnmatchcase(relative, pattern) for pattern in patterns) or any(
                not kind.folder and path.is_file() and kind.difference(path) is None for kind in inside
            )
            if path.is_symlink() or not (known or name.startswith(".bayespress-")):
                return f"it holds {printable(relative)}"
    return None


def _json_of(path: Path) -> Any:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_RECORD:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def record_file(what: str, keys: Iterable[str]) -> Kind:
    """The kind of a JSON file with exactly these top-level fields."""
    required = set(keys)

    def difference(path: Path) -> str | None:
        content = _json_of(path)
        return None if isinstance(content, dict) and content.keys() == required else "its fields are different"

    return Kind(what, False, difference)


def marked_file(what: str, marks: Iterable[bytes], start: bytes = b"") -> Kind:
    """The kind of a file that begins with `start` and has one of `marks` among its first bytes."""
    expected = tuple(marks)

    def difference(path: Path) -> str | None:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
        has_mark = head.startswith(start) and any(mark in head for mark in expected)
        return None if has_mark else "its first bytes are not those of a file that bayespress wrote"

    return Kind(what, False, difference)


WEIGHT_FILE = marked_file("a .bpz file", (b"BPZ",), b"BPZ")
PAGE = marked_file("a report of bayespress", (b'<meta name="generator" content="bayespress">',), b"<!doctype html>")
PICTURE = marked_file("a picture of bayespress", (b"<dc:title>bayespress</dc:title>",), b"<?xml")
# A private or public key is never replaced.
KEY = Kind("a key", False, lambda _path: None, replaceable=False)


def check_output(
    path: Path, kind: Kind, *, overwrite: bool = False, inputs: Iterable[Path | None] = (), within: bool = False
) -> None:
    """Raise InputError unless an output may be written by the rules at the top of this file.

    Call it before the work, which may take hours.

    inputs  paths that the command reads; None is ignored
    within  whether the output may be inside an input folder, as RUN/packed is
    """
    _check_place(path)
    for source in inputs:
        if source is not None:
            _check_apart(path, Path(source), within)
    if path.is_symlink():
        raise InputError(
            f"{path} is a symbolic link, and links are neither followed nor replaced; name its target instead."
        )
    if not path.exists():
        return
    if path.is_dir() != kind.folder or not (path.is_dir() or path.is_file()):
        expected = kind.what if kind.folder else "a file"
        raise InputError(f"{path} is {_type_of(path)}, and the output is {expected}; name another path.")
    if kind.folder and not any(path.iterdir()):
        return
    if not kind.replaceable:
        raise InputError(f"{path} exists already, and {kind.what} never replaces a file; name another path.")
    difference = kind.difference(path)
    if difference is not None:
        raise InputError(f"{path} exists already and is not {kind.what}: {difference}; name another path.")
    if not overwrite:
        raise InputError(f"{path} exists already; name another path, or give --overwrite to replace it.")


def check_container(path: Path) -> None:
    """Raise InputError unless `path` can be a folder for several outputs. Each output must be checked on its own.

    Refuses a file, a broken link and the folders of rule 4.
    """
    _check_place(path)
    if os.path.lexists(path) and not path.is_dir():
        raise InputError(f"{path} is {_type_of(path)}, and the output is a folder; name another path.")


def _check_place(path: Path) -> None:
    """Refuse the current folder, the home folder and every folder above one of them."""
    if path.parts and path.parts[0].startswith("~"):
        raise InputError(f"{path} begins with ~, which only a shell expands; write the full path of the home folder.")
    real = _resolved(path)
    for name, protected in (("the current folder", Path.cwd()), ("your home folder", _home())):
        above = (protected, *protected.parents)
        if real in (_resolved(folder) for folder in above) or any(_same(path, folder) for folder in above):
            what = name if _same(path, protected) else f"a folder above {name}"
            raise InputError(f"{path} is {what}, which is never overwritten; name a new folder or file in it.")


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # the user has no home folder
        return Path("/")


def _check_apart(path: Path, source: Path, within: bool) -> None:
    """Refuse an output that is the input `source`, above it, or (unless `within`) inside it."""
    if not source.exists():
        return
    if _same(path, source):
        raise InputError(f"{path} is also the input {source}; name another path for the output.")
    if path.exists() and any(_same(path, folder) for folder in _resolved(source).parents):
        raise InputError(f"{path} is a folder above the input {source}; name another path for the output.")
    if not within and source.is_dir() and any(_same(folder, source) for folder in _resolved(path).parents):
        raise InputError(f"{path} is inside the input {source}; name a path outside it for the output.")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except FileNotFoundError:  # the current folder was removed
        raise
    except (OSError, RuntimeError) as error:  # pathlib raises RuntimeError for a loop of links
        raise InputError(f"{path} cannot be resolved ({printable(error)}); name another path.") from None


def _type_of(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return "a broken symbolic link"
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "a device, pipe or socket"


@contextlib.contextmanager
def output_file(
    path: Path, kind: Kind, *, overwrite: bool = False, inputs: Iterable[Path | None] = ()
) -> Iterator[Path]:
    """Yield a temporary path. If the block succeeds, the file there becomes the output `path`; else it is removed.

    Raises InputError as check_output does, before and after the block, because the block may take hours.
    """
    sources = tuple(inputs)
    check_output(path, kind, overwrite=overwrite, inputs=sources)
    with locked(path), replacing_file(path, fresh=not path.exists()) as temporary:
        yield temporary
        check_output(path, kind, overwrite=overwrite, inputs=sources)


@contextlib.contextmanager
def output_folder(
    path: Path, kind: Kind, *, overwrite: bool = False, inputs: Iterable[Path | None] = (), within: bool = False
) -> Iterator[Path]:
    """Like output_file, for a folder. The replaced folder is kept until the new one is complete."""
    sources = tuple(inputs)
    check_output(path, kind, overwrite=overwrite, inputs=sources, within=within)
    with locked(path), replacing_folder(path) as fresh:
        yield fresh
        check_output(path, kind, overwrite=overwrite, inputs=sources, within=within)


def write_output(
    path: Path, kind: Kind, data: bytes | str, *, overwrite: bool = False, inputs: Iterable[Path | None] = ()
) -> None:
    """Write an output file; text is encoded as UTF-8."""
    with output_file(path, kind, overwrite=overwrite, inputs=inputs) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def claimed(
    outputs: Sequence[tuple[Path, Kind]],
    *,
    overwrite: bool = False,
    inputs: Iterable[Path | None] = (),
    within: bool = False,
) -> Iterator[None]:
    """Check several outputs before the block, and lock them so that no other command writes them until the block ends.

    Raises InputError for the first output that may not be written, and if two outputs have the same path.
    """
    sources = tuple(inputs)
    seen: set[Path] = set()
    with contextlib.ExitStack() as stack:
        for path, kind in outputs:
            check_output(path, kind, overwrite=overwrite, inputs=sources, within=within)
            if _resolved(path) in seen:
                raise InputError(f"{path} is the path of two outputs of one command; name two paths.")
            seen.add(_resolved(path))
            stack.enter_context(locked(path))
        yield
