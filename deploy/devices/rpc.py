"""Machines reached through TVM's RPC: `rpc://server:port`, or `rpc://tracker:port/key` for a machine of a farm.

The bundle's static library is linked on this machine into a shared library for the server's machine, then sent and
called there. TVM's client runs in a process of its own, which prints a report as a runner does: the client waits for a
server without a time limit, and data from a server can crash the process that reads them.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

from ... import codec
from ...errors import CheckFailedError, InputError, MissingToolError
from ...packed_format import WEIGHTS
from ..bundle.format import Bundle
from ..bundle.manifest import TargetEntry
from ..compile.toolchain import c_compiler, run_tool
from .address import parse_address
from .base import (
    Capabilities,
    Progress,
    Session,
    Unavailable,
    example_count,
    limits_of,
    silent,
    target_for,
    without_target,
)
from .failures import failure_of
from .jobs import RpcJob, RpcRun, RpcServer
from .process import Finished, Limits, OverTimeError, run_program, short
from .report import PLAIN_RUN, RunnerReport, RunRequest, checked_report
from .rpc_process import LOST, MACHINE_MARKER, UNREACHABLE

# The processor in the server's triple, and ziglang's target for linking a library.
_TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf"}
_SECONDS_TO_CONNECT = 90.0
_EXAMPLE = "rpc://tracker:9190/key or rpc://server:9090"


class Rpc:
    """One machine, identified by its address or by a tracker and a key."""

    description = "network over TVM's RPC"
    capabilities = Capabilities(max_threads=0)

    def __init__(self, name: str) -> None:
        """Raises InputError unless `name` is rpc://host:port or rpc://host:port/key."""
        self.name = name
        address = parse_address(name, "RPC device", _EXAMPLE, with_path=True)
        key = address.path.removesuffix("/")
        reason = None
        if address.user is not None:
            reason = "it has a user, which is not allowed"
        elif address.port is None:
            reason = "it has no port"
        elif "/" in key:
            reason = f"{key!r} is not a key of a tracker"
        if reason is not None or address.port is None:
            raise InputError(f"{name!r} is not a valid RPC device: {reason}; write it as {_EXAMPLE}.")
        self._server = RpcServer(host=address.host, port=address.port, key=key)

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """See Device.connect."""
        try:
            machine = _machine(self.name, self._server)
        except (MissingToolError, CheckFailedError) as error:
            return Unavailable(str(error).rstrip("."))
        if (no_target := without_target(bundle, machine)) is not None:
            return no_target
        target = target_for(bundle, machine)
        if target is None or machine not in _TRIPLES:
            return Unavailable(f"no library can be linked for its processor, {short(machine)}; use another machine")
        return _RpcSession(self.name, self._server, bundle, target, _TRIPLES[machine], progress)


class _RpcSession(Session):
    """Links the network's library once and sends it with each run."""

    def __init__(
        self, name: str, server: RpcServer, bundle: Bundle, target: TargetEntry, triple: str, progress: Progress
    ) -> None:
        self._name, self._server, self._bundle, self._progress = name, server, bundle, progress
        self._scratch = tempfile.TemporaryDirectory(prefix="bayespress-")
        self._library = _linked(bundle, target, triple, Path(self._scratch.name))

    def close(self) -> None:
        """See Session.close."""
        self._scratch.cleanup()

    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Session.run. Layers are not timed. Raises InputError for a batch."""
        if request.threads:
            raise InputError(f"Device {self._name} runs one example at a time; leave --threads out.")
        bundle, examples = self._bundle, example_count(self._bundle, inputs)
        sizes = [tensor.values().size for tensor in codec.decode(bundle.read(WEIGHTS))] if request.digests else []
        run = RpcRun(
            library=self._library,
            weights=(bundle.folder / WEIGHTS).resolve(),
            inputs=inputs.resolve(),
            input_shape=bundle.manifest.input_shape,
            output_shape=bundle.manifest.output_shape,
            tensor_sizes=tuple(sizes),
            request=request,
        )
        limits = limits_of(request, bundle, examples, self._progress)
        finished = _client(self._name, RpcJob(server=self._server, run=run), limits)
        return checked_report(finished.output, self._name, bundle, examples, request)


def _machine(name: str, server: RpcServer) -> str:
    """The server's processor. Raises MissingToolError if the server does not answer."""
    try:
        finished = _client(name, RpcJob(server=server), Limits(_SECONDS_TO_CONNECT))
    except OverTimeError:
        raise MissingToolError(
            f"{name} does not answer within {_SECONDS_TO_CONNECT:g} seconds; check the address."
        ) from None
    triple = re.search(re.escape(MACHINE_MARKER) + r"([\w.-]{1,100})\s*$", finished.output.decode(errors="replace"))
    if triple is None:
        raise MissingToolError(f"{name} does not report its processor; check that it is a TVM RPC server.")
    processor = triple[1].partition("-")[0]
    return "armv7l" if processor.startswith("arm") and processor != "arm64" else processor


def _client(name: str, job: RpcJob, limits: Limits) -> Finished:
    """TVM's client in a process of its own. Raises MissingToolError when the server is not there or goes away."""
    if find_spec("tvm") is None:
        raise MissingToolError(
            "Python package tvm, which reaches RPC servers, is not installed; "
            "install it with `pip install 'bayespress[deploy]'`."
        )
    with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        path = job.write(Path(scratch))
        finished = run_program(
            [sys.executable, "-P", "-m", "bayespress.deploy.devices.rpc_process", path], name, limits
        )
    reason = short(finished.last_line())
    if finished.status == UNREACHABLE:
        raise MissingToolError(f"{name} does not answer ({reason}); check the address.")
    if finished.status == LOST:
        raise MissingToolError(f"{name} closed the connection ({reason}); check the server.")
    if finished.status != 0:
        raise failure_of(name, finished)
    return finished


def _linked(bundle: Bundle, target: TargetEntry, triple: str, scratch: Path) -> Path:
    """Link a shared library from the target's static library and the functions that the server calls."""
    library = scratch / "bayespress_network.so"
    archive = bundle.folder / target.archive
    package = files("bayespress.deploy")
    with as_file(package / "runtime") as runtime, as_file(package / ".." / "codec" / "c") as decoder:
        run_tool(
            [*c_compiler(triple), "-std=gnu99", "-O2", "-shared", "-fPIC", "-I", runtime, "-I", decoder,
             runtime / "rpc.c", archive, "-lm", "-lpthread", "-o", library]
        )  # fmt: skip
    return library
