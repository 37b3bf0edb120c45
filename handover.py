"""The packed directory: what `compress` hands to `deploy`, in files.

    packed/
      packed.json         PackedRecord, below
      weights.bpz         every tensor of the shrunk network; its size is the size we publish
      network.pt2         torch.export program of the shrunk network, batch 1, with the decoded weights
      original.pt2        the same of the network as it was given, for comparison; optional
      golden.safetensors  `input` (n, *input_shape) and `output` (n, ...), as PyTorch computes them one by one

Tensor names in `weights.bpz` are the state-dict names of the program in `network.pt2`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import InputError, reason_of
from .files import read_bytes, write_text

RECORD = "packed.json"
WEIGHTS = "weights.bpz"
NETWORK = "network.pt2"
ORIGINAL = "original.pt2"
GOLDEN = "golden.safetensors"


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
    error_percent: float | None = Field(description="top-1 error on the test set, none when no data was given")
    nonzero: int
    parameters: int
    bytes: int | None = Field(default=None, description="size of the .bpz, for the step that writes it")


class PackedRecord(_Strict):
    """`packed.json`."""

    version: Literal[1] = 1
    name: str
    input_shape: tuple[int, ...] = Field(description="of one example, without the batch axis")
    output_shape: tuple[int, ...] = Field(description="of one example, without the batch axis")
    preprocessing: Preprocessing = Preprocessing()
    labels: tuple[str, ...] = ()
    data: str | None = Field(default=None, description="data set that errors were measured on")
    original_parameters: int
    original_bytes: int = Field(description="4 bytes a parameter of the network as given")
    packed_bytes: int = Field(description="size of weights.bpz")
    steps: tuple[StepRecord, ...] = ()

    @property
    def ratio(self) -> float:
        """Original size over `.bpz` size."""
        return self.original_bytes / self.packed_bytes

    def write(self, folder: Path) -> None:
        """Write `packed.json` into `folder`."""
        write_text(folder / RECORD, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> PackedRecord:
        """Read and check `folder/packed.json`. Raises InputError when it is missing or not of this schema."""
        path = folder / RECORD
        data = read_bytes(path, "packed directory's record")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise InputError(
                f"{path} is not a packed directory's record: {reason_of(error)}; run `bayespress compress` again."
            ) from None
