"""What a command may write over: nothing of the user's is lost.

Every command, and every function of the Python interface, that writes to a place that the user names asks here. These
rules hold for all of them:

1. What is absent is written, and an empty folder is filled.
2. What is there is replaced only with `--overwrite` (in Python `overwrite=True`), and only where it is an earlier
   output of the same kind: a packed directory replaces a packed directory, an HTML report an HTML report. Each kind
   says how it is recognised, always by content and never by name alone. A folder is of a kind if it holds that
   kind's record, the record can be read, and nothing lies beside it that the record does not account for; the first
   foreign file is named. A file is of a kind by its first bytes or by the mark that we leave in it. What is not of the
   kind is never replaced, whatever the flags.
3. An output is never one of the command's inputs, a folder above one, or inside one, by whatever name: paths are
   compared as the file system sees them, through symbolic links, hard links and names that differ in case.
4. An output is never the current folder, the home folder, or a folder above either.
5. An output is never a symbolic link: neither the link nor what it points to is replaced. Links above it are followed.
6. One command at a time writes an output (files.locked).

A private key is of no kind: it is never replaced.
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

_LARGEST_RECORD = 64 << 20  # bytes of a JSON record; ours have some kilobytes
_HEAD = 4096  # bytes in which a page or picture says who made it


@dataclass(frozen=True)
class Kind:
    """A kind of output.

    what        its name in a sentence, as "a packed directory"
    folder      whether it is a folder, or else a file
    difference  what distinguishes a path from an output of this kind, as "it holds thesis.txt", or None
    replaceable whether --overwrite may replace one
    """

    what: str
    folder: bool
    difference: Callable[[Path], str | None]
    replaceable: bool = True


def record_folder(
    what: str, record: str, keys: Iterable[str], members: Callable[[Any], Iterable[str]], inside: Sequence[Kind] = ()
) -> Kind:
    """The kind of a folder with a JSON record.

    keys     that the record has at its top, besides `version`
    members  the patterns (fnmatch, forward slashes) of all that belongs to it, of the parsed record
    inside   kinds of outputs that may lie in it
    """
    needed = {"version", *keys}

    def difference(path: Path) -> str | None:
        found = _json_of(path / record)
        if not isinstance(found, dict):
            first = min((each.name for each in path.iterdir()), default="nothing")
            return f"it holds {printable(first)} and no {record} of ours"
        if missing := sorted(needed - found.keys()):
            return f"its {record} has no field {missing[0]!r}"
        try:
            patterns = [record, *members(found)]
        except (AttributeError, KeyError, TypeError):
            return f"its {record} is not one of ours"
        return _foreign(path, patterns, inside)

    return Kind(what, True, difference)


def _foreign(folder: Path, patterns: Sequence[str], inside: Sequence[Kind]) -> str | None:
    """The first file, link or empty folder that no pattern accounts for, in words."""
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
    """The kind of a JSON file that has just these keys at its top."""
    needed = set(keys)

    def difference(path: Path) -> str | None:
        found = _json_of(path)
        return None if isinstance(found, dict) and found.keys() == needed else "its fields are not those of one"

    return Kind(what, False, difference)


def marked_file(what: str, marks: Iterable[bytes], start: bytes = b"") -> Kind:
    """The kind of a file that begins with `start` and has one of `marks` among its first bytes."""
    wanted = tuple(marks)

    def difference(path: Path) -> str | None:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
        ours = head.startswith(start) and any(mark in head for mark in wanted)
        return None if ours else "it does not begin as one that bayespress wrote"

    return Kind(what, False, difference)


WEIGHT_FILE = marked_file("a .bpz file", (b"BPZ",), b"BPZ")
PAGE = marked_file("a report of bayespress", (b'<meta name="generator" content="bayespress">',), b"<!doctype html>")
PICTURE = marked_file("a picture of bayespress", (b"<dc:title>bayespress</dc:title>",), b"<?xml")
# Of a private or public key: never replaced.
KEY = Kind("a key", False, lambda _path: None, replaceable=False)


def check_output(
    path: Path, kind: Kind, *, overwrite: bool = False, inputs: Iterable[Path | None] = (), within: bool = False
) -> None:
    """See that an output may be written, before any work is done for it.

    inputs  what the command reads, None left out
    within  whether the output may lie inside an input that is a folder, as RUN/packed does

    Raises InputError, by the rules at the top of this file.
    """
    _check_place(path)
    for given in inputs:
        if given is not None:
            _check_apart(path, Path(given), within)
    if path.is_symlink():
        raise InputError(f"{path} is a symbolic link, which is neither followed nor replaced; name its target instead.")
    if not path.exists():
        return
    if path.is_dir() != kind.folder or not (path.is_dir() or path.is_file()):
        wanted = kind.what if kind.folder else "a file"
        raise InputError(f"{path} is {_sort_of(path)}, and {wanted} is to be written there; name another place.")
    if kind.folder and not any(path.iterdir()):
        return
    if not kind.replaceable:
        raise InputError(f"{path} is there already, and {kind.what} replaces nothing; name another place.")
    difference = kind.difference(path)
    if difference is not None:
        raise InputError(f"{path} is there already and is not {kind.what}: {difference}; name another place.")
    if not overwrite:
        raise InputError(f"{path} is there already; name another place, or give --overwrite to replace it.")


def check_container(path: Path) -> None:
    """See that `path` can be the folder in which a command keeps several outputs; each of them is checked by itself.

    Raises InputError for a file, for a link that leads nowhere and for the places of rule 4.
    """
    _check_place(path)
    if os.path.lexists(path) and not path.is_dir():
        raise InputError(f"{path} is {_sort_of(path)}, and a folder is to be written there; name another place.")


def _check_place(path: Path) -> None:
    """Refuse the current folder, the home folder and what is above either."""
    if path.parts and path.parts[0].startswith("~"):
        raise InputError(f"{path} begins with ~, which only the shell replaces; write the home folder out.")
    real = _resolved(path)
    for name, place in (("the current folder", Path.cwd()), ("your home folder", _home())):
        above = (place, *place.parents)
        if real in (_resolved(each) for each in above) or any(_same(path, each) for each in above):
            what = name if _same(path, place) else f"a folder above {name}"
            raise InputError(f"{path} is {what}, which is never written over; name a new folder or file in it.")


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without one
        return Path("/")


def _check_apart(path: Path, given: Path, within: bool) -> None:
    """Refuse an output that is the input `given`, above it, or (unless `within`) inside it."""
    if not given.exists():
        return
    real, source = _resolved(path), _resolved(given)
    if _same(path, given):
        raise InputError(f"{path} is also the input {given}; name another place for the output.")
    if path.exists() and any(_same(path, each) for each in source.parents):
        raise InputError(f"{path} is a folder above the input {given}; name another place for the output.")
    if not within and given.is_dir() and any(_same(each, given) for each in real.parents):
        raise InputError(f"{path} lies inside the input {given}; name a place outside it for the output.")


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
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError
        raise InputError(f"{path} cannot be followed ({printable(error)}); name another place.") from None


def _sort_of(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return "a link that leads nowhere"
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "a device, pipe or socket"


@contextlib.contextmanager
def output_file(
    path: Path, kind: Kind, *, overwrite: bool = False, inputs: Iterable[Path | None] = ()
) -> Iterator[Path]:
    """Yield a temporary path; what the block writes there becomes the output `path`, whole or not at all.

    Raises InputError as check_output does, before and after the block: it may have taken hours.
    """
    kept = tuple(inputs)
    check_output(path, kind, overwrite=overwrite, inputs=kept)
    with locked(path), replacing_file(path, fresh=not path.exists()) as temporary:
        yield temporary
        check_output(path, kind, overwrite=overwrite, inputs=kept)


@contextlib.contextmanager
def output_folder(
    path: Path, kind: Kind, *, overwrite: bool = False, inputs: Iterable[Path | None] = (), within: bool = False
) -> Iterator[Path]:
    """The same for a folder; the one that it replaces is kept until the new one is whole."""
    kept = tuple(inputs)
    check_output(path, kind, overwrite=overwrite, inputs=kept, within=within)
    with locked(path), replacing_folder(path) as fresh:
        yield fresh
        check_output(path, kind, overwrite=overwrite, inputs=kept, within=within)


def write_output(
    path: Path, kind: Kind, data: bytes | str, *, overwrite: bool = False, inputs: Iterable[Path | None] = ()
) -> None:
    """Write an output file, text as UTF-8."""
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
    """Check several outputs before the work of the block and keep others from writing them until it ends.

    Raises InputError for the first that may not be written, and where two are the same.
    """
    kept = tuple(inputs)
    seen: set[Path] = set()
    with contextlib.ExitStack() as stack:
        for path, kind in outputs:
            check_output(path, kind, overwrite=overwrite, inputs=kept, within=within)
            if _resolved(path) in seen:
                raise InputError(f"{path} is to be written twice by one command; name two places.")
            seen.add(_resolved(path))
            stack.enter_context(locked(path))
        yield
