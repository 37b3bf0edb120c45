"""Finding the pictures of a folder, or of a tar archive, by part and class, and listing what was passed over."""

from __future__ import annotations

import os
import stat
import tarfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...errors import CorruptFileError, InputError, reason_of
from ...text import printable

PARTS = ("train", "test")
ENDINGS = (
    ".apng", ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm",
    ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
# What systems leave in folders beside their hidden files.
_LEFT_BY_SYSTEMS = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"})
_LARGEST_FILE = 1 << 28  # bytes; no picture of a training set is as large
_LARGEST_ARCHIVE = 1 << 34  # bytes, unpacked: pictures of an archive are all held in memory
_MOST_MEMBERS = 1 << 22
_NAMES_SHOWN = 3


class PictureFile(NamedTuple):
    """A picture: its part, its class, where it lies for messages, and what gives its bytes."""

    part: str
    label: str
    place: str
    read: Callable[[], bytes]


class PassedOver:
    """What was not read, by reason, in the order of finding."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, reason: str, name: object) -> None:
        """Note that `name` was passed over for `reason`."""
        self._names.setdefault(reason, []).append(printable(name))

    def notes(self) -> list[str]:
        """One line a reason: how many, and the first names."""
        lines = []
        for reason, names in self._names.items():
            shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
            lines.append(f"{reason}: {len(names)} ({shown})")
        return lines


def class_name(name: str) -> str:
    """A folder's name as the name of its class: composed characters, and nothing that a terminal obeys."""
    return printable(unicodedata.normalize("NFC", name))


def picture_files(path: Path, passed: PassedOver) -> Iterator[PictureFile]:
    """Pictures of `path`/PART/CLASS/ in the order of their names, so that the same files always give the same tensors.

    Links are followed. Hidden files and folders, other files and folders within a class are added to `passed`.

    Raises InputError for a folder that cannot be listed, CorruptFileError for what is no folder and no tar archive.
    """
    if path.is_dir():
        for part in PARTS:
            yield from _of_folder(path, part, passed)
        return
    yield from _of_archive(path, passed)


def _of_folder(path: Path, part: str, passed: PassedOver) -> Iterator[PictureFile]:
    for folder in _listed(path / part):
        inside = f"{part}/{folder.name}"
        if _is_hidden(folder.name):
            passed.add("hidden or of the system", inside)
        elif not folder.is_dir():
            passed.add("not in the folder of a class", inside)
        else:
            found = False
            for file in _listed(folder):
                if (reason := _why_not(file)) is not None:
                    passed.add(reason, f"{inside}/{file.name}")
                    continue
                found = True
                yield PictureFile(part, class_name(folder.name), printable(f"{inside}/{file.name}"), _reader(file))
            if not found:
                passed.add("classes without pictures", inside)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(
            f"The folder {printable(folder)} cannot be listed ({error.strerror}); mend its permissions, or move it."
        ) from None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def _why_not(file: Path) -> str | None:
    """Why `file`, in the folder of a class, is passed over; None for a picture."""
    if _is_hidden(file.name):
        return "hidden or of the system"
    try:
        mode = file.stat().st_mode
    except OSError:  # a link to nothing, or to itself
        return "links that lead nowhere"
    if stat.S_ISDIR(mode):
        return "folders within a class"
    if file.suffix.lower() not in ENDINGS:
        return "not named like a picture"
    if not stat.S_ISREG(mode):  # a pipe would be waited for without end
        return "pipes, sockets and devices"
    return None


def _reader(file: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            if file.stat().st_size > _LARGEST_FILE:
                raise _too_large(file)
            return file.read_bytes()
        except OSError as error:
            raise InputError(
                f"Picture {printable(file)} cannot be read ({error.strerror}); mend its permissions, or move it away."
            ) from None

    return read


def _too_large(name: object) -> InputError:
    return InputError(
        f"Picture {printable(name)} has more than {_LARGEST_FILE >> 20} MiB; remove it, or scale it down."
    )


def _of_archive(path: Path, passed: PassedOver) -> list[PictureFile]:
    """Sorted; read in one pass, since a compressed archive cannot be sought cheaply."""
    found: dict[tuple[str, str, str], bytes] = {}
    data_of: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            unpacked = 0
            for number, member in enumerate(archive):
                unpacked += member.size
                if unpacked > _LARGEST_ARCHIVE or number >= _MOST_MEMBERS:
                    raise InputError(
                        f"{printable(path)} holds more than {_LARGEST_ARCHIVE >> 30} GiB or {_MOST_MEMBERS:,} files; "
                        "unpack it, and name the folder."
                    )
                place = PurePosixPath(member.name)
                if len(place.parts) < 3 or place.parts[-3] not in PARTS or member.isdir():
                    continue
                if (reason := _why_not_member(place, member, data_of)) is not None:
                    passed.add(reason, member.name)
                    continue
                if member.islnk():
                    data = data_of[member.linkname]
                else:
                    if member.size > _LARGEST_FILE:
                        raise _too_large(member.name)
                    stream = archive.extractfile(member)
                    data = b"" if stream is None else stream.read()
                data_of[member.name] = found[place.parts[-3:]] = data  # type: ignore[index]
    except InputError:
        raise
    except Exception as error:  # the compressions' modules have exceptions of their own
        raise CorruptFileError(
            f"{printable(path)} is no folder and no sound tar archive ({reason_of(error)}); name a folder, or such an "
            "archive."
        ) from None
    return [
        PictureFile(part, class_name(label), printable(f"{part}/{label}/{name}"), lambda data=data: data)  # type: ignore[misc]
        for (part, label, name), data in sorted(found.items(), key=lambda item: (PARTS.index(item[0][0]), item[0]))
    ]


def _why_not_member(place: PurePosixPath, member: tarfile.TarInfo, data_of: dict[str, bytes]) -> str | None:
    if any(_is_hidden(part) for part in place.parts if part not in (".", "..", os.sep)):
        return "hidden or of the system"
    if place.suffix.lower() not in ENDINGS:
        return "not named like a picture"
    if member.issym() or (member.islnk() and member.linkname not in data_of):
        return "links that lead nowhere" if member.islnk() else "symbolic links in an archive"
    if not (member.isfile() or member.islnk()):
        return "pipes, sockets and devices"
    return None
