"""The packed directory: what `compress` hands to `deploy`, in files.

    packed/
      packed.json         PackedRecord, below
      weights.bpz         every tensor of the shrunk network; its size is the size we publish
      network.pt2         torch.export program of the shrunk network, batch 1, with the decoded weights
      original.pt2        the same of the network as it was given, for comparison; optional
      golden.safetensors  `input` (n, *input_shape) and `output` (n, ...), as PyTorch computes them one by one: a few
                          examples of the data, then zeros, extremes and noise

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
    """How raw bytes become the network's input: `(byte / scale - mean) / std`, in words too."""

    scale: float = 255.0
    mean: float = 0.0
    std: float = 1.0
    description: str = ""


class StepRecord(_Strict):
    """State of the network after one step of compression."""

    name: str
    metric: float | None = Field(description="see PackedRecord.measured_by; none when no data was given")
    nonzero: int
    parameters: int
    bytes: int | None = Field(default=None, description="size of the .bpz, for the step that writes it")


class LayerRecord(_Strict):
    """One tensor of the file."""

    name: str
    shape: tuple[int, ...] = Field(description="in the shrunk network; units are the first axis")
    original_shape: tuple[int, ...] = Field(description="empty for a bias that the network did not have")
    nonzero: int
    coding: str = Field(description="what its values are, in words")
    step: float | None = Field(default=None, description="of its grid, if it lies on one")
    bits: dict[str, float] = Field(description="of each stream of the file, see codec.layout")


class PapersRecord(_Strict):
    """The two columns that papers give beside a file's size, in bytes; see compress/size_breakdown.py."""

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
    """The points that no other beats in both metric and bytes, by bytes; a lower metric is better."""
    best: list[_Point] = []
    for point in sorted(points, key=lambda point: (point.bytes, point.metric)):
        if not best or point.metric < best[-1].metric:
            best.append(point)
    return best


class PointRecord(_Strict):
    """What some settings came to in a search."""

    metric: float = Field(description="on the held-out data")
    bytes: int
    settings: dict[str, float]


class ChoiceRecord(_Strict):
    """How the settings were chosen. The test set had no part in it."""

    goal: str
    held_out: int | None = Field(description="examples that the error was measured on; none where it is not known")
    metric: float
    bytes: int
    points: tuple[PointRecord, ...] = Field(description="all that were seen, by bytes")

    def measured_on(self) -> str:
        """How many examples the errors were measured on, in words."""
        return "held-out examples" if self.held_out is None else f"{self.held_out:,} held-out examples"

    def front(self) -> list[PointRecord]:
        """The points that no other beats."""
        return pareto(self.points)


class PackedRecord(_Strict):
    """`packed.json`."""

    version: Literal[2] = VERSION
    name: str
    input_shape: tuple[int, ...] = Field(description="of one example, without the batch axis")
    output_shape: tuple[int, ...] = Field(description="of one example, without the batch axis")
    preprocessing: Preprocessing = Preprocessing()
    labels: tuple[str, ...] = ()
    data: str | None = Field(default=None, description="data set that the metric was measured on")
    measured_by: Metric = Field(default=ERROR, description="what `metric` is, in steps and in the choice")
    part: Literal["validation", "test"] | None = Field(
        default="test", description="of the data set, that the steps were measured on; none where it is not known"
    )
    original_parameters: int
    original_bytes: int = Field(description="4 bytes a parameter of the network as given")
    packed_bytes: int = Field(description="size of weights.bpz")
    steps: tuple[StepRecord, ...] = ()
    settings: dict[str, str | float | bool | None] = Field(
        default_factory=dict, description="of compression, see compress/settings.py"
    )
    layers: tuple[LayerRecord, ...] = ()
    papers: PapersRecord | None = None
    confusion_before: Confusion | None = Field(
        default=None, description="of the network as given, on `part`; none where it has no classes, or too many"
    )
    confusion: Confusion | None = Field(default=None, description="the same after the last step")
    choice: ChoiceRecord | None = Field(default=None, description="none when the settings were given")
    real_examples: int | None = Field(
        default=None,
        description="so many of the golden inputs, the first, are examples of the data; none where all are",
    )
    notes: tuple[str, ...] = Field(
        default=(), description="which golden inputs were left out and why, one sentence each"
    )

    @property
    def ratio(self) -> float:
        """Original size over `.bpz` size."""
        return self.original_bytes / max(1, self.packed_bytes)

    def write(self, folder: Path) -> None:
        """Write `packed.json` into `folder`."""
        write_text(folder / RECORD, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> PackedRecord:
        """Read and check `folder/packed.json`.

        Raises InputError when it is missing, of another version or not of this schema.
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
