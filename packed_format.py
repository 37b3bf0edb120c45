"""The packed directory, which `compress` writes and `build` reads.

    packed/
      packed.json         PackedRecord, below
      weights.bpz         every tensor of the shrunk network; its size is the published size
      network.pt2         torch.export program of the shrunk network, batch 1, with the decoded weights
      original.pt2        the same for the network before compression, for comparison; optional
      golden.safetensors  `input` (n, *input_shape) and `output` (n, ...), computed by PyTorch one example at a time: a
                          few examples of the data, then zeros, extreme values and noise

Tensor names in `weights.bpz` are the state-dict names of the program in `network.pt2`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .confusion import Confusion
from .errors import InputError, reason_of
from .files import read_bytes, write_text
from .metric import ERROR, Metric
from .outputs import record_folder
from .record_version import other_version

RECORD = "packed.json"
VERSION: Literal[2] = 2  # of PackedRecord; raised whenever a field changes
WEIGHTS = "weights.bpz"
NETWORK = "network.pt2"
ORIGINAL = "original.pt2"
GOLDEN = "golden.safetensors"

PACKED = record_folder(
    "a packed directory", RECORD, ("original_parameters", "packed_bytes"),
    lambda _record: (WEIGHTS, NETWORK, ORIGINAL, GOLDEN),
)  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(_Strict):
    """The conversion of a raw byte to an input of the network: `(byte / scale - mean) / std`.

    description  the same in words
    """

    scale: float = 255.0
    mean: float = 0.0
    std: float = 1.0
    description: str = ""


class StepRecord(_Strict):
    """The network after one step of compression."""

    name: str
    metric: float | None = Field(description="value of PackedRecord.measured_by; None without data")
    nonzero: int
    parameters: int
    bytes: int | None = Field(default=None, description="size of the .bpz; None for a step that does not write it")


class LayerRecord(_Strict):
    """One tensor of the file."""

    name: str
    shape: tuple[int, ...] = Field(description="in the shrunk network; units are the first axis")
    original_shape: tuple[int, ...] = Field(description="empty for a bias that the network did not have")
    nonzero: int
    coding: str = Field(description="coding of its values, in words")
    step: float | None = Field(default=None, description="step of its grid; None if its values are not on a grid")
    bits: dict[str, float] = Field(description="size of each stream of the file in bits, see codec.layout")


class PapersRecord(_Strict):
    """Two sizes in bytes that papers report besides the size of a file; see compress/size_breakdown.py."""

    fast_prediction: int
    maximum_compression: int


class _Measured(Protocol):
    @property
    def metric(self) -> float: ...
    @property
    def bytes(self) -> int: ...


_LARGEST_RECORD = 64 << 20  # bytes: a million labels and more
_Point = TypeVar("_Point", bound=_Measured)


def pareto(points: Iterable[_Point]) -> list[_Point]:
    """The Pareto-optimal points in (metric, bytes) in ascending order of bytes; a lower metric is better."""
    best: list[_Point] = []
    for point in sorted(points, key=lambda point: (point.bytes, point.metric)):
        if not best or point.metric < best[-1].metric:
            best.append(point)
    return best


class PointRecord(_Strict):
    """The result of one trial of a search."""

    metric: float = Field(description="measured on the held-out data")
    bytes: int
    settings: dict[str, float]


class SearchRecord(_Strict):
    """The search that chose the settings. It does not use the test set."""

    goal: str
    held_out: int | None = Field(description="number of held-out examples for the metric; None if unknown")
    metric: float
    bytes: int
    points: tuple[PointRecord, ...] = Field(description="all trials in ascending order of bytes")

    def measured_on(self) -> str:
        """The number of held-out examples, in words."""
        return "held-out examples" if self.held_out is None else f"{self.held_out:,} held-out examples"

    def front(self) -> list[PointRecord]:
        """The Pareto-optimal points."""
        return pareto(self.points)


class PackedRecord(_Strict):
    """The record of a packed directory, `packed.json`."""

    version: Literal[2] = VERSION
    name: str
    input_shape: tuple[int, ...] = Field(description="of one example, without the batch axis")
    output_shape: tuple[int, ...] = Field(description="of one example, without the batch axis")
    preprocessing: Preprocessing = Preprocessing()
    labels: tuple[str, ...] = ()
    data: str | None = Field(default=None, description="data set for the metric")
    measured_by: Metric = Field(default=ERROR, description="the metric in `steps` and in `choice`")
    part: Literal["validation", "test"] | None = Field(
        default="test", description="part of the data set for the metric of the steps; None if unknown"
    )
    original_parameters: int
    original_bytes: int = Field(description="4 bytes per parameter of the original network")
    packed_bytes: int = Field(description="size of weights.bpz")
    steps: tuple[StepRecord, ...] = ()
    settings: dict[str, str | float | bool | None] = Field(
        default_factory=dict, description="settings of compression, see compress/settings.py"
    )
    layers: tuple[LayerRecord, ...] = ()
    papers: PapersRecord | None = None
    confusion_before: Confusion | None = Field(
        default=None, description="confusion of the original network on `part`; None without classes or for too many"
    )
    confusion: Confusion | None = Field(default=None, description="the same after the last step")
    choice: SearchRecord | None = Field(default=None, description="the search; None if the user gave the settings")
    real_examples: int | None = Field(
        default=None,
        description="how many golden inputs, from the first, are examples of the data; None if all are",
    )
    notes: tuple[str, ...] = Field(
        default=(), description="one sentence for each golden input that was left out, with the reason"
    )

    @property
    def ratio(self) -> float:
        """Original size divided by the size of the `.bpz`."""
        return self.original_bytes / max(1, self.packed_bytes)

    def write(self, folder: Path) -> None:
        """Write `packed.json` into `folder`."""
        write_text(folder / RECORD, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> PackedRecord:
        """Read and check `folder/packed.json`.

        Raises InputError if it is missing, has another version or does not match the schema.
        """
        path = folder / RECORD
        data = read_bytes(path, "packed directory's record", _LARGEST_RECORD)
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            if (older := other_version(error, path, VERSION, "run `bayespress compress` again")) is not None:
                raise older from None
            raise InputError(
                f"{path} is not a packed directory's record: {reason_of(error)}; run `bayespress compress` again."
            ) from None
