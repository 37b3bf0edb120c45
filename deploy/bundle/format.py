"""The bundle: a folder, or a zip of it, with everything that a device needs to run a network and to check itself.

    manifest.json      Manifest (manifest.py); lists size and SHA-256 of every other file
    weights.bpz        the weights
    graph.onnx         the graph without weights
    golden/            raw little-endian float32: input.f32; output.f32, computed by PyTorch; tolerance.f32, the allowed
                       difference of each output; half.f32, the same for float16 products, if a target uses them
    targets/NAME/      the files of a target: runner, static library, header and possibly a shared library
    report.html        the report of the compression
    manifest.sig       signature of 64 bytes (sign.py), if the bundle is signed

The manifest has a canonical form and contains its own digest, so an accidental change of any byte is detected. Only a
signature detects an attacker who rewrites the manifest too.

Programs run from a private copy of the bundle. Each file is hashed while it is copied, so nobody can change a file
between its check and its use.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import json
import math
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ...errors import CorruptFileError, InputError
from ...files import sha256
from ...outputs import Kind, record_folder
from ...text import printable
from .manifest import MANIFEST, SIGNATURE, FileEntry, Manifest
from .source import CHUNK, PLAIN, RUNNABLE, Source, source_of, zip_errors

GRAPH = "graph.onnx"
GOLDEN_INPUT = "golden/input.f32"
GOLDEN_OUTPUT = "golden/output.f32"
GOLDEN_TOLERANCE = "golden/tolerance.f32"
GOLDEN_HALF = "golden/half.f32"

SIGNATURE_SIZE = 64
_LARGEST_MANIFEST = 4 << 20
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)

BUNDLE = record_folder(
    "a bundle", MANIFEST, ("digest", "files", "targets"),
    lambda manifest: (SIGNATURE, *(glob.escape(entry["path"]) for entry in manifest["files"])),
)  # fmt: skip


def _zip_difference(path: Path) -> str | None:
    """How a file differs from a zipped bundle (see outputs.Kind); None if it is one."""
    try:
        with zip_errors(path), zipfile.ZipFile(path) as archive:
            with archive.open(MANIFEST) as member:
                manifest = json.loads(member.read(_LARGEST_MANIFEST))
            listed = {MANIFEST, SIGNATURE, *(entry["path"] for entry in manifest["files"])}
            foreign = [name for name in archive.namelist() if name not in listed]
    except (CorruptFileError, KeyError, TypeError):
        return f"it has no {MANIFEST} of bayespress"
    return f"it holds {printable(foreign[0])}" if foreign else None


ZIPPED_BUNDLE = Kind("a zipped bundle", False, _zip_difference)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    manifest        the parsed manifest
    manifest_bytes  the manifest as read; a signature covers these bytes
    signature       64 bytes; None if the bundle is not signed
    """

    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes | None
    _source: Source
    _scratch: Path

    @functools.cached_property
    def folder(self) -> Path:
        """A private copy of all files, checked against the manifest. It is made on the first access.

        Raises CorruptFileError, which names the first file that is missing, surplus or changed.
        """
        folder = Path(tempfile.mkdtemp(dir=self._scratch))  # only its owner can access it
        self._check_names()
        for entry in sorted(self.manifest.files, key=lambda entry: entry.path):
            destination = folder / entry.path
            try:
                destination.parent.mkdir(parents=True, exist_ok=True)
                with destination.open("xb") as stream:
                    self._copy(entry, stream)
            except (FileExistsError, NotADirectoryError):
                raise CorruptFileError(f"{MANIFEST} names {entry.path} as a file and as a folder.") from None
            destination.chmod(RUNNABLE if self._source.runnable(entry.path) else PLAIN)
        (folder / MANIFEST).write_bytes(self.manifest_bytes)
        if self.signature is not None:
            (folder / SIGNATURE).write_bytes(self.signature)
        if self._source.path.is_file():
            _check_zip(self._source.path, folder)
        return folder

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises CorruptFileError if they do not match the manifest."""
        entry = next((entry for entry in self.manifest.files if entry.path == name), None)
        if entry is None:
            raise CorruptFileError(f"The bundle has no {name}; build it again.")
        data = bytearray()
        self._copy(entry, data)
        return bytes(data)

    def _copy(self, entry: FileEntry, destination: BinaryIO | bytearray) -> None:
        """Copy a file and hash it in the same pass. Raises CorruptFileError if its bytes do not match the manifest."""
        if self._source.size(entry.path) != entry.size:
            raise CorruptFileError(
                f"{entry.path} is not the file of {entry.size} bytes that was built; fetch or build it again."
            )
        digest, size = hashlib.sha256(), 0
        for chunk in self._source.chunks(entry.path):
            size += len(chunk)
            if size > entry.size:
                break
            digest.update(chunk)
            if isinstance(destination, bytearray):
                destination += chunk
            else:
                destination.write(chunk)
        if size != entry.size or digest.hexdigest() != entry.sha256:
            raise CorruptFileError(f"{entry.path} was changed after the bundle was built; fetch or build it again.")

    def _check_names(self) -> None:
        present = self._source.names() - {MANIFEST, SIGNATURE}
        expected = {entry.path for entry in self.manifest.files}
        for name in sorted(present ^ expected):
            if name in expected:
                raise CorruptFileError(f"{name} is missing from the bundle; fetch or build it again.")
            raise CorruptFileError(
                f"{printable(name[:200])} is not in the manifest; remove it, or build the bundle again."
            )

    def golden_inputs(self) -> npt.NDArray[np.float32]:
        """Golden inputs of shape (n, *input_shape)."""
        return self._golden(GOLDEN_INPUT, self.manifest.input_shape)

    def golden_outputs(self) -> npt.NDArray[np.float32]:
        """The outputs that PyTorch computed for the golden inputs, of shape (n, *output_shape)."""
        return self._golden(GOLDEN_OUTPUT, self.manifest.output_shape)

    def real_inputs(self) -> npt.NDArray[np.float32]:
        """The golden inputs that are examples of the data; the first golden input if none is."""
        return self.golden_inputs()[: max(1, self.manifest.real_examples or self.manifest.golden_examples)]

    def golden_tolerance(self, *, half: bool = False) -> npt.NDArray[np.float32]:
        """The allowed difference of each golden output, of shape (n, *output_shape); see tolerance.py.

        half  whether the operands of matrix products are float16
        """
        name = GOLDEN_HALF if half else GOLDEN_TOLERANCE
        allowed = self._golden(name, self.manifest.output_shape)
        if not (allowed >= 0.0).all() or not np.isfinite(allowed).all():
            raise CorruptFileError(f"{name} holds a tolerance that is negative or not finite; build the bundle again.")
        return allowed

    def _golden(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        data = self.read(name)
        count = self.manifest.golden_examples
        if len(data) != 4 * count * math.prod(shape):
            raise CorruptFileError(
                f"{name} has {len(data)} bytes, not {count} arrays of shape {shape}; build the bundle again."
            )
        return np.frombuffer(data, "<f4").reshape(count, *shape).astype(np.float32)

    def first_difference(self) -> str | None:
        """One sentence about the first file that is missing, surplus or changed; None if all files are as built."""
        try:
            self.folder  # noqa: B018 - making the copy is the check
        except CorruptFileError as error:
            return str(error)
        return None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open a bundle, folder or zip. This reads only the manifest and the signature.

    Raises InputError if there is no bundle, CorruptFileError if its manifest or its zip is damaged. `Bundle.read`
    checks the file that it reads; `Bundle.folder` checks all files.
    """
    with source_of(path) as source, tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        data = _small(source, MANIFEST, _LARGEST_MANIFEST)
        if data is None:
            raise InputError(f"{path} is not a bundle: it has no {MANIFEST}; make one with `bayespress build`.")
        signature = _small(source, SIGNATURE, SIGNATURE_SIZE)
        yield Bundle(Manifest.parse(data), data, signature, source, Path(scratch))


def _small(source: Source, name: str, limit: int) -> bytes | None:
    """The bytes of a file that the manifest does not cover; None if it does not exist.

    limit  maximum number of bytes
    """
    size = source.size(name)
    if size is None:
        if name in source.names():
            raise CorruptFileError(f"{name} is not a regular file; fetch or build the bundle again.")
        return None
    if size > limit:
        raise CorruptFileError(f"{name} has {size} bytes, and at most {limit} are allowed; build the bundle again.")
    data = b""
    for chunk in source.chunks(name):
        data += chunk
        if len(data) > size:
            break
    if len(data) != size:
        raise CorruptFileError(
            f"{name} has {len(data)} bytes where {size} were announced; fetch or build the bundle again."
        )
    return data


def _check_zip(path: Path, folder: Path) -> None:
    """Check the bytes between the files of a zip, which no hash covers: zip the checked copy again and compare."""
    with tempfile.TemporaryFile(dir=folder.parent) as rebuilt, path.open("rb") as original:
        write_zip(folder, rebuilt)
        size = rebuilt.tell()
        rebuilt.seek(0)
        same = size == path.stat().st_size
        while same and (chunk := rebuilt.read(CHUNK)):
            same = chunk == original.read(len(chunk))
    if not same:
        raise CorruptFileError(
            f"{path} is not byte for byte as it was built; fetch or build it again, or unpack it and give the folder."
        )


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """List all files of `folder` in `manifest`, write the manifest into the folder, and return it."""
    entries = tuple(
        FileEntry(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    sealed = manifest.model_copy(update={"files": entries}).sealed()
    (folder / MANIFEST).write_bytes(sealed.canonical())
    return sealed


def write_zip(folder: Path, path: Path | BinaryIO) -> None:
    """Zip a bundle's folder. The same folder always gives the same bytes.

    Files are stored without compression, because the output of deflate depends on the release of zlib.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _ZIP_EPOCH)
                info.create_system = 3  # Unix on every system, so that the permissions are stored
                info.external_attr = (0o100000 | (RUNNABLE if file.stat().st_mode & 0o100 else PLAIN)) << 16
                archive.writestr(info, file.read_bytes())
