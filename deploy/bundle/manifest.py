"""The manifest of a bundle, `manifest.json`: the network, its targets, and a hash of every file."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ...errors import CorruptFileError, reason_of
from ...html_report import html_table
from ...metric import ERROR, Metric
from ...packed_format import Preprocessing, StepRecord
from ...text import printable
from .source import LARGEST_BUNDLE, LARGEST_FILE, MOST_FILES

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"

_LONGEST_PATH = 240  # characters


def _inside(path: str) -> str:
    """Validate a file's path below the bundle's folder; it must mean the same on every system."""
    parts = PurePosixPath(path).parts
    plain = path == "/".join(parts) and not any(part in ("..", ".", "/") for part in parts)
    if not plain or not path or "\\" in path or ":" in path or not path.isprintable() or len(path) > _LONGEST_PATH:
        raise ValueError(f"'{printable(path[:100])}' is not a path inside a bundle")
    return path


_Axis = Annotated[int, Field(ge=0, lt=1 << 31)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """One file of the bundle.

    path    relative to the bundle's folder, with forward slashes
    size    bytes
    sha256  64 hexadecimal digits in lower case
    """

    path: Annotated[str, AfterValidator(_inside)]
    size: int = Field(ge=0, le=LARGEST_FILE)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class KernelDecisionRecord(_Strict):
    """The choice between a dense and a sparse kernel for a layer, and the estimated times; see cost.py.

    density_percent      weights that are not zero
    dense_us, sparse_us  estimated microseconds; None on a GPU, which has no cost model
    reason               why this kernel was chosen
    """

    layer: str
    kernel: Literal["dense", "sparse"]
    density_percent: float
    dense_us: float | None
    sparse_us: float | None
    reason: str


class TargetEntry(_Strict):
    """One target of the bundle. Paths are as in FileEntry.

    machine     processor of its programs, named as by `uname -m`
    runner      program that runs the network
    archive     static library
    header      C header of the static library
    library     shared library; None if the target has none
    android     whether the shared library is for Android apps
    layers      kernel of each layer on the processor
    gpu         whether the programs can also run the network through OpenCL
    gpu_layers  kernel of each layer in OpenCL
    half        whether OpenCL products are float16 if the device supports it
    """

    machine: str
    runner: str
    archive: str
    header: str
    library: str | None = None
    android: bool = False
    layers: tuple[KernelDecisionRecord, ...] = ()
    gpu: bool = False
    gpu_layers: tuple[KernelDecisionRecord, ...] = ()
    half: bool = False


class Manifest(_Strict):
    """The manifest of a bundle, `manifest.json`: the network, its targets, and a hash of every file."""

    version: Literal[2] = 2
    name: str
    input_shape: tuple[_Axis, ...]
    output_shape: tuple[_Axis, ...]
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    data: str | None
    original_parameters: int
    original_bytes: int
    packed_bytes: int
    steps: tuple[StepRecord, ...]
    measured_by: Metric = Field(default=ERROR, description="the metric that each step reports")
    part: Literal["validation", "test"] | None = Field(
        default=None, description="the part of the data set that the steps were measured on; None if unknown"
    )
    golden_examples: int = Field(ge=0, lt=1 << 31)
    real_examples: int | None = Field(
        default=None,
        ge=0,
        lt=1 << 31,
        description="how many golden inputs, from the first, are examples of the data; None if all are",
    )
    decoded: dict[str, int] = Field(description="CRC-32 of each tensor's values as little-endian float32")
    targets: dict[str, TargetEntry]
    files: tuple[FileEntry, ...] = Field(max_length=MOST_FILES)
    digest: str = Field(default="", description="SHA-256 of this manifest with an empty digest, in canonical form")

    def __repr__(self) -> str:
        targets = ", ".join(self.targets) or "no target"
        return f"Manifest({self.name}: {self.packed_bytes:,} bytes of weights, {len(self.files)} files, {targets})"

    def _repr_html_(self) -> str:
        """A table of the files, for notebooks."""
        rows = [(file.path, f"{file.size:,}", file.sha256[:12]) for file in self.files]
        return html_table(("file", "bytes", "SHA-256"), rows, repr(self))

    def canonical(self) -> bytes:
        """The canonical bytes of this manifest."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    def sealed(self) -> Manifest:
        """A copy with its digest filled in."""
        blank = self.model_copy(update={"digest": ""})
        return self.model_copy(update={"digest": hashlib.sha256(blank.canonical()).hexdigest()})

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Parse a manifest. Raises CorruptFileError unless it matches the schema, the canonical form and its digest."""
        try:
            manifest = cls.model_validate_json(data)
        except ValidationError as error:
            raise CorruptFileError(f"{MANIFEST} is damaged ({reason_of(error)}); fetch or build it again.") from None
        if manifest.sealed().canonical() != data:
            raise CorruptFileError(f"{MANIFEST} was changed after it was built; fetch or build the bundle again.")
        covered = {entry.path for entry in manifest.files}
        if len(covered) != len(manifest.files) or covered & {MANIFEST, SIGNATURE}:
            raise CorruptFileError(f"{MANIFEST} names a file twice, or itself; build the bundle again.")
        if sum(entry.size for entry in manifest.files) > LARGEST_BUNDLE:
            raise CorruptFileError(
                f"{MANIFEST} lists more than {LARGEST_BUNDLE} bytes, the limit for a bundle; build the bundle again."
            )
        for name, target in manifest.targets.items():
            for path in filter(None, (target.runner, target.archive, target.header, target.library)):
                if path not in covered:
                    raise CorruptFileError(
                        f"{MANIFEST}: {path} of target {name} is not among its files; build the bundle again."
                    )
        return manifest
