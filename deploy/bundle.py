"""The bundle: one folder, or the same zipped, with everything a device needs to run a network and check itself.

    manifest.json      Manifest, below; covers every other file by size and SHA-256
    weights.bpz        the weights
    graph.onnx         the graph without them
    golden/            input.f32 and output.f32, raw little-endian float32, as PyTorch computed them
    targets/NAME/      a runner, and what else that target has
    report.html        what compression did
    manifest.sig       where it is signed (sign.py), 64 bytes

The manifest is written in one canonical form and carries a digest of itself, so that no byte of a bundle can
change by accident unnoticed. Against somebody who rewrites the manifest too, only a signature helps.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import math
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import CorruptFileError, InputError, reason_of
from ..files import read_bytes, sha256
from ..handover import Preprocessing, StepRecord
from ..outputs import Kind, record_folder
from ..text import printable

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
GRAPH = "graph.onnx"
GOLDEN_INPUT = "golden/input.f32"
GOLDEN_OUTPUT = "golden/output.f32"

_LARGEST_MANIFEST = 4 << 20
_SIGNATURE_SIZE = 64
_RUNNABLE = 0o755
_PLAIN = 0o644
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)

BUNDLE = record_folder(
    "a bundle", MANIFEST, ("digest", "files", "targets"),
    lambda manifest: (SIGNATURE, *(glob.escape(entry["path"]) for entry in manifest["files"])),
)  # fmt: skip


def _zip_difference(path: Path) -> str | None:
    """What tells a file from a zipped bundle, see outputs.Kind: zips of other things have no manifest of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = json.loads(_member(archive, MANIFEST, _LARGEST_MANIFEST))
            listed = {MANIFEST, SIGNATURE, *(entry["path"] for entry in found["files"])}
            foreign = [name for name in archive.namelist() if name not in listed]
    except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError, RecursionError, NotImplementedError,
            RuntimeError, EOFError, CorruptFileError):  # fmt: skip
        return f"it has no {MANIFEST} of ours"
    return f"it holds {printable(foreign[0])}" if foreign else None


ZIPPED_BUNDLE = Kind("a zipped bundle", False, _zip_difference)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """One file of the bundle, by its path with forward slashes."""

    path: str
    size: int
    sha256: str


class LayerChoice(_Strict):
    """Whether a layer runs on a dense or a sparse kernel, and what either was expected to take; see cost.py.

    dense_us, sparse_us  None on a GPU, for which there is no model
    """

    layer: str
    kernel: Literal["dense", "sparse"]
    density_percent: float
    dense_us: float | None
    sparse_us: float | None
    reason: str


class TargetEntry(_Strict):
    """What a target has; paths as in FileEntry.

    machine  the processor that its programs run on
    android  whether the library is for Android's apps
    gpu      whether they can run the network through OpenCL too
    gpu_layers  the layers' kernels there
    half     whether its products there are float16 where the device can
    """

    machine: str
    runner: str
    archive: str
    header: str
    library: str | None = None
    android: bool = False
    layers: tuple[LayerChoice, ...] = ()
    gpu: bool = False
    gpu_layers: tuple[LayerChoice, ...] = ()
    half: bool = False


class Manifest(_Strict):
    """`manifest.json`."""

    version: Literal[1] = 1
    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    data: str | None
    original_parameters: int
    original_bytes: int
    packed_bytes: int
    steps: tuple[StepRecord, ...]
    golden_examples: int
    decoded: dict[str, int] = Field(description="CRC-32 of each tensor's values as little-endian float32")
    targets: dict[str, TargetEntry]
    files: tuple[FileEntry, ...]
    digest: str = Field(default="", description="SHA-256 of this manifest with an empty digest, in canonical form")

    def canonical(self) -> bytes:
        """The one way to write this manifest."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    def sealed(self) -> Manifest:
        """The same with its digest filled in."""
        blank = self.model_copy(update={"digest": ""})
        return self.model_copy(update={"digest": hashlib.sha256(blank.canonical()).hexdigest()})

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read a manifest. Raises CorruptFileError unless it is of this schema, canonical and true to its digest."""
        try:
            manifest = cls.model_validate_json(data)
        except ValidationError as error:
            raise CorruptFileError(f"{MANIFEST} is damaged ({reason_of(error)}); fetch or build it again.") from None
        if manifest.sealed().canonical() != data:
            raise CorruptFileError(f"{MANIFEST} was changed since it was built; fetch or build the bundle again.")
        covered = {entry.path for entry in manifest.files}
        for name, target in manifest.targets.items():
            for path in filter(None, (target.runner, target.archive, target.header, target.library)):
                if path not in covered:
                    raise CorruptFileError(
                        f"{MANIFEST}: {path} of target {name} is not among its files; build the bundle again."
                    )
        return manifest


@dataclass(frozen=True)
class Bundle:
    """An opened bundle as a folder."""

    folder: Path
    manifest: Manifest

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises CorruptFileError when they are not those of the manifest."""
        entry = next((entry for entry in self.manifest.files if entry.path == name), None)
        if entry is None:
            raise CorruptFileError(f"The bundle has no {name}; build it again.")
        data = read_bytes(self.folder / name, "bundle's file")
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise CorruptFileError(f"{name} was changed since the bundle was built; fetch or build it again.")
        return data

    def golden_inputs(self) -> npt.NDArray[np.float32]:
        """Golden inputs, (n, *input_shape)."""
        return self._golden(GOLDEN_INPUT, self.manifest.input_shape)

    def golden_outputs(self) -> npt.NDArray[np.float32]:
        """What PyTorch computed for them, (n, *output_shape)."""
        return self._golden(GOLDEN_OUTPUT, self.manifest.output_shape)

    def _golden(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        data = self.read(name)
        count = self.manifest.golden_examples
        if len(data) != 4 * count * math.prod(shape):
            raise CorruptFileError(f"{name} has {len(data)} bytes, not {count} arrays of shape {shape}; build again.")
        return np.frombuffer(data, "<f4").reshape(count, *shape).astype(np.float32)

    def first_difference(self) -> str | None:
        """One sentence on the first file that is missing, surplus or changed; None when all is as built."""
        expected = {entry.path: entry for entry in self.manifest.files}
        present = {
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_symlink() or not path.is_dir()
        } - {MANIFEST, SIGNATURE}
        for name in sorted(expected.keys() | present):
            path = self.folder / name
            if name not in present:
                return f"{name} is missing from the bundle; fetch or build it again."
            if name not in expected:
                return f"{name} is not in the manifest; remove it, or build the bundle again."
            if path.is_symlink() or path.stat().st_size != expected[name].size:
                return f"{name} is not the file of {expected[name].size} bytes that was built; fetch or build it again."
            if sha256(path) != expected[name].sha256:
                return f"{name} was changed since the bundle was built; fetch or build it again."
        return None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open a bundle, unpacking a zip into a temporary folder.

    Raises InputError when there is no bundle, CorruptFileError when its manifest or its zip is damaged. Files are
    not checked here: use `Bundle.read` or `Bundle.first_difference`.
    """
    if path.is_dir():
        yield Bundle(path, _manifest_of(path))
    elif path.is_file() and not zipfile.is_zipfile(path) and path.suffix != ".zip":
        raise InputError(f"{path} is neither a bundle's folder nor a .zip of one; make one with `bayespress build`.")
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
            folder = Path(scratch)
            _unzip(path, folder)
            yield Bundle(folder, _manifest_of(folder))
    else:
        raise InputError(f"There is no bundle at {path}; check the path, or make one with `bayespress build`.")


def _manifest_of(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} is no bundle: it has no {MANIFEST}; make one with `bayespress build`.")
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise CorruptFileError(f"{path} has {path.stat().st_size} bytes, too many for a manifest; build it again.")
    return Manifest.parse(path.read_bytes())


def _unzip(path: Path, folder: Path) -> None:
    """Unpack what the manifest names and refuse the rest, so that no archive can fill the disk or leave `folder`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):
                raise CorruptFileError(f"{path} holds a file twice; fetch or build it again.")
            if MANIFEST not in names:
                raise InputError(f"{path} is no bundle: it has no {MANIFEST}; make one with `bayespress build`.")
            manifest = Manifest.parse(_member(archive, MANIFEST, _LARGEST_MANIFEST))
            sizes = {entry.path: entry.size for entry in manifest.files}
            sizes |= {MANIFEST: _LARGEST_MANIFEST, SIGNATURE: _SIGNATURE_SIZE}
            for name in names:
                if name not in sizes:
                    raise CorruptFileError(f"{name} in {path} is not in the manifest; fetch or build it again.")
                destination = folder / _safe(name)
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes(_member(archive, name, sizes[name]))
                destination.chmod(archive.getinfo(name).external_attr >> 16 & 0o777 or _PLAIN)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise CorruptFileError(f"{path} is no sound zip archive ({error}); fetch or build it again.") from None
    # The hashes cover what is in the files; this covers all that a zip has around them.
    again = io.BytesIO()
    write_zip(folder, again)
    if again.getbuffer() != path.read_bytes():
        raise CorruptFileError(
            f"{path} is not byte for byte as it was built; fetch or build it again, or unpack it and give the folder."
        )


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    with archive.open(name) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise CorruptFileError(f"{name} is larger than its manifest says; fetch or build the bundle again.")
    return data


def _safe(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise CorruptFileError(f"The archive names a file {name!r} outside itself; do not use it.")
    return name


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Enter all files of `folder` into `manifest`, write it there, and return it."""
    entries = tuple(
        FileEntry(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    sealed = manifest.model_copy(update={"files": entries}).sealed()
    (folder / MANIFEST).write_bytes(sealed.canonical())
    return sealed


def write_zip(folder: Path, path: Path | BinaryIO) -> None:
    """Zip a bundle's folder; the same folder always gives the same bytes.

    Files are stored and not deflated, as what deflate makes of a file depends on the release of zlib.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _ZIP_EPOCH)
                info.create_system = 3  # Unix, for the permissions, wherever this is built
                info.external_attr = (0o100000 | (_RUNNABLE if file.stat().st_mode & 0o100 else _PLAIN)) << 16
                archive.writestr(info, file.read_bytes())
