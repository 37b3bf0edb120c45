"""Jobs for the child processes that run a network: each job is one JSON file, validated when written and when read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from .report import RunRequest

_JOB = "job.json"


class _Job(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def write(self, folder: Path) -> Path:
        """Write the job into `folder` and return the path of the file."""
        path = folder / _JOB
        path.write_text(self.model_dump_json())
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a job. Raises pydantic's ValidationError if the file does not match the schema."""
        return cls.model_validate_json(path.read_bytes())


class WasiJob(_Job):
    """A WASI program that wasi_process.py runs.

    program    WebAssembly module
    bundle     folder that the program sees as /bundle
    inputs     folder that the program sees as /inputs
    arguments  command-line arguments of the program
    """

    program: Path
    bundle: Path
    inputs: Path
    arguments: tuple[str, ...]


class RpcServer(_Job):
    """The address of a TVM RPC server, or of a tracker together with the key of a machine.

    key  empty if the address is that of a server
    """

    host: str
    port: Annotated[int, Field(gt=0, lt=1 << 16)]
    key: str


class RpcRun(_Job):
    """A network that an RPC server runs.

    library       shared library of the network, for the server's machine
    weights       .bpz file
    inputs        raw little-endian float32 file
    tensor_sizes  number of elements of each tensor; empty if the request asks for no digests
    """

    library: Path
    weights: Path
    inputs: Path
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    tensor_sizes: tuple[int, ...]
    request: RunRequest


class RpcJob(_Job):
    """A job for rpc_process.py. Without a run, it prints the machine's target triple."""

    server: RpcServer
    run: RpcRun | None = None
