"""Jobs of the child processes that run a network for us: one JSON file each, checked on both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from .report import RunRequest

_JOB = "job.json"


class _Job(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def write(self, folder: Path) -> Path:
        """Write the job into `folder`; the path of the file."""
        path = folder / _JOB
        path.write_text(self.model_dump_json())
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """The job in a file. Raises pydantic's ValidationError for another thing."""
        return cls.model_validate_json(path.read_bytes())


class WasiJob(_Job):
    """A program for WASI to be run by wasi_process.py.

    program  the module
    bundle, inputs  folders that the program sees as /bundle and /inputs
    arguments  of the program
    """

    program: Path
    bundle: Path
    inputs: Path
    arguments: tuple[str, ...]


class RpcServer(_Job):
    """Where a server of TVM's RPC is: its own address, or a tracker's with the key of a machine."""

    host: str
    port: Annotated[int, Field(gt=0, lt=1 << 16)]
    key: str


class RpcRun(_Job):
    """A network to be run on an RPC server.

    library  shared library of the network, for the server's machine
    weights  the .bpz
    inputs   raw float32 file
    tensor_sizes  elements of each tensor, where digests are asked for
    """

    library: Path
    weights: Path
    inputs: Path
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    tensor_sizes: tuple[int, ...]
    request: RunRequest


class RpcJob(_Job):
    """What rpc_process.py is to do; without a run, it prints the machine's triple."""

    server: RpcServer
    run: RpcRun | None = None
