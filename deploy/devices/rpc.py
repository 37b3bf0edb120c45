"""Machines behind TVM's RPC: `rpc://tracker:port/key` asks a tracker for one of a farm, `rpc://server:port` is one.

The bundle's static library is linked here into a shared one for the server's machine, sent there, and called. TVM's
client runs in a process of its own, which prints what a runner prints: it waits for a server without an end, and a
server's bytes can end the process that reads them.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ... import codec
from ...errors import CheckFailedError, InputError, MissingToolError
from ...packed_format import WEIGHTS
from ..bundle.format import Bundle, TargetEntry
from ..compile.toolchain import c_compiler, run_tool
from .address import parse_address
from .base import Unavailable, example_count, target_for, without_target
from .failures import failure_of
from .process import Finished, Limits, OverTimeError, run_program, short
from .report import PLAIN_RUN, RunnerReport, RunRequest, accepted
from .rpc_process import LOST, MACHINE_MARKER, UNREACHABLE

# Of the server's triple the processor, and what ziglang links a library for it by.
_TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf"}
_SECONDS_TO_CONNECT = 90.0
_EXAMPLE = "rpc://tracker:9190/key or rpc://server:9090"


class Rpc:
    """One machine, by tracker and key or by its own address."""

    description = "network over TVM's RPC"
    most_threads = 0

    def __init__(self, name: str) -> None:
        """Raises InputError unless `name` is rpc://host:port or rpc://host:port/key."""
        self.name = name
        address = parse_address(name, "RPC device", _EXAMPLE, with_path=True)
        key = address.path.removesuffix("/")
        reason = None
        if address.user is not None:
            reason = "it has a user, which means nothing here"
        elif address.port is None:
            reason = "it has no port"
        elif "/" in key:
            reason = f"{key!r} is no key of a tracker"
        if reason is not None:
            raise InputError(f"{name!r} is no RPC device: {reason}; write it as {_EXAMPLE}.")
        self._server = {"host": address.host, "port": address.port, "key": key}

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when somebody answers and the bundle has a target for the machine."""
        try:
            return without_target(bundle, self._machine())
        except (MissingToolError, CheckFailedError) as error:
            return Unavailable(str(error).rstrip("."))

    def run(self, bundle: Bundle, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Device.run. Layers are not timed, and batches are refused."""
        if request.threads:
            raise InputError(f"Device {self.name} runs one example at a time; leave --threads out.")
        machine = self._machine()
        target = target_for(bundle, machine)
        if target is None or machine not in _TRIPLES:
            raise MissingToolError(
                f"The bundle has no target for {self.name}, whose processor is {machine}; build it for one."
            )
        examples = example_count(bundle, inputs)
        with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
            weights = bundle.read(WEIGHTS)
            job = {
                "library": str(_linked(bundle, target, _TRIPLES[machine], Path(scratch))),
                "weights": str((bundle.folder / WEIGHTS).resolve()),
                "inputs": str(inputs.resolve()),
                "input_shape": bundle.manifest.input_shape,
                "output_shape": bundle.manifest.output_shape,
                "tensor_sizes": [tensor.values().size for tensor in codec.decode(weights)] if request.digests else [],
                "request": {key: value for key, value in dataclasses.asdict(request).items() if key != "step"},
            }
            finished = self._client(job, request.limits(bundle, examples), Path(scratch))
        return accepted(finished.output, self.name, bundle, examples, request)

    def _machine(self) -> str:
        """Connect, and ask for the processor. Raises MissingToolError when nobody is there."""
        with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
            try:
                finished = self._client({}, Limits(_SECONDS_TO_CONNECT), Path(scratch))
            except OverTimeError:
                raise MissingToolError(
                    f"{self.name} does not answer within {_SECONDS_TO_CONNECT:g} seconds; check the address."
                ) from None
        found = re.search(re.escape(MACHINE_MARKER) + r"([\w.-]{1,100})\s*$", finished.output.decode(errors="replace"))
        if found is None:
            raise MissingToolError(f"{self.name} does not tell its processor; check that it is a server of TVM's RPC.")
        triple = found[1]
        processor = triple.partition("-")[0]
        return "armv7l" if processor.startswith("arm") and processor != "arm64" else processor

    def _client(self, job: Mapping[str, Any], limits: Limits, scratch: Path) -> Finished:
        if find_spec("tvm") is None:
            raise MissingToolError(
                "Python package tvm, which reaches RPC servers, is not installed; "
                "install it with `pip install 'bayespress[deploy]'`."
            )
        order = scratch / "job.json"
        order.write_text(json.dumps({**self._server, **job}))
        with as_file(files("bayespress.deploy.devices") / "rpc_process.py") as script:
            # -P: the modules beside the script are no modules of its own.
            finished = run_program([sys.executable, "-P", script, order], self.name, limits)
        said = short(finished.last_line())
        if finished.status == UNREACHABLE:
            raise MissingToolError(f"{self.name} does not answer ({said}); check the address.")
        if finished.status == LOST:
            raise MissingToolError(f"{self.name} went away ({said}); check the server.")
        if finished.status != 0:
            raise failure_of(self.name, finished)
        return finished


def _linked(bundle: Bundle, target: TargetEntry, triple: str, scratch: Path) -> Path:
    """A shared library of the target's static one and of the functions that the server calls."""
    library = scratch / "bayespress_network.so"
    archive = bundle.folder / target.archive
    package = files("bayespress.deploy")
    with as_file(package / "runtime") as runtime, as_file(package / ".." / "codec" / "c") as decoder:
        run_tool(
            [*c_compiler(triple), "-std=gnu99", "-O2", "-shared", "-fPIC", "-I", runtime, "-I", decoder,
             runtime / "rpc.c", archive, "-lm", "-lpthread", "-o", library]
        )  # fmt: skip
    return library
