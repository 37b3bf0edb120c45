"""Machines behind TVM's RPC: `rpc://tracker:port/key` asks a tracker for one of a farm, `rpc://server:port` is one.

The bundle's static library is linked here into a shared one for the server's machine, sent there, and called.
"""

from __future__ import annotations

import socket
import tempfile
import zlib
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ... import codec
from ...errors import CheckFailedError, InputError, MissingToolError, reason_of
from ...handover import WEIGHTS
from ..bundle import Bundle, TargetEntry
from ..tools import c_compiler, require, run_tool
from .base import Unavailable, target_for, without_target

# Of the server's triple the processor, and what ziglang links a library for it by.
_TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf"}
_TIMEOUT_SECONDS = 60
_CONNECT_SECONDS = 10


class Rpc:
    """One machine, by tracker and key or by its own address."""

    description = "network over TVM's RPC"

    def __init__(self, name: str) -> None:
        """Raises InputError unless `name` is rpc://host:port or rpc://host:port/key."""
        self.name = name
        try:
            parts = urlsplit(name)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        key = parts.path.strip("/") if host else ""
        if not host or port is None or "/" in key:
            raise InputError(f"{name!r} is no RPC device; write it as rpc://tracker:9190/key or rpc://server:9090.")
        self.host, self.port, self.key = host, port, key
        self._session: Any = None

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when somebody answers and the bundle has a target for the machine."""
        try:
            return without_target(bundle, self._machine())
        except MissingToolError as error:
            return Unavailable(str(error).rstrip("."))

    def run(self, bundle: Bundle, inputs: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """What the runner would say of outputs, times and digests; of layers and threads nothing."""
        machine = self._machine()
        target = target_for(bundle, machine)
        if target is None or machine not in _TRIPLES:
            raise MissingToolError(f"The bundle has no target for {self.name}, which is {machine}; build it for one.")
        try:
            with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
                library = _linked(bundle, target, _TRIPLES[machine], Path(scratch))
                self._session.upload(str(library))
                module = self._session.load_module(library.name)
            return self._called(bundle, module, inputs, list(arguments))
        except (RuntimeError, OSError) as error:
            raise MissingToolError(f"{self.name} went away ({reason_of(error)}); check the server.") from None
        finally:
            self._session = None  # which ends it, and leaves the machine to others

    def _called(self, bundle: Bundle, module: Any, inputs: Path, arguments: list[str]) -> dict[str, Any]:
        tvm = require("tvm")
        device = self._session.cpu(0)
        examples = np.fromfile(inputs, "<f4").reshape(-1, *bundle.manifest.input_shape)
        weights = tvm.runtime.tensor(np.frombuffer(bundle.read(WEIGHTS), np.uint8), device)
        load = module.time_evaluator("bayespress_load", device, number=1, repeat=1)(weights)
        _check(module["bayespress_load"](weights))
        out = tvm.runtime.tensor(np.zeros(bundle.manifest.output_shape, np.float32), device)
        said: dict[str, Any] = {"load_ns": 1e9 * load.mean, "workspace_bytes": module["bayespress_workspace"]()}
        said |= {
            "outputs": [],
            "facts": dict.fromkeys(("peak_kb", "cpu", "hardware", "part", "governor", "temperature_c")),
        }
        first = tvm.runtime.tensor(examples[0], device)
        for example in examples:
            _check(module["bayespress_run"](tvm.runtime.tensor(example, device), out))
            said["outputs"].append(out.numpy().ravel().tolist())
        repeat = int(arguments[arguments.index("--repeat") + 1]) if "--repeat" in arguments else 1
        timed = module.time_evaluator("bayespress_run", device, number=1, repeat=min(repeat, 1000))(first, out)
        times = np.array(timed.results) * 1e9
        said["first_ns"] = float(times[0])
        said["run_ns"] = {"repeat": len(times), "min": times.min(), "median": np.median(times)}
        said["run_ns"] |= {f"p{p}": float(np.percentile(times, p)) for p in (10, 90, 99)}
        said["layers"] = []
        if "--digests" in arguments:
            said["digests"] = list(self._digests(bundle, module, weights, device))
        return said

    def _digests(self, bundle: Bundle, module: Any, weights: Any, device: Any) -> list[int]:
        tvm = require("tvm")
        digests = []
        for index, tensor in enumerate(codec.decode(bundle.read(WEIGHTS))):
            values = tvm.runtime.tensor(np.zeros(tensor.values().size, np.float32), device)
            _check(module["bayespress_decode"](weights, index, values))
            digests.append(zlib.crc32(values.numpy().astype("<f4").tobytes()))
        return digests

    def _machine(self) -> str:
        """Connect, and ask for the processor. Raises MissingToolError when nobody is there."""
        rpc = require("tvm.rpc")
        try:
            if self._session is None:
                # TVM would go on trying a tracker for a minute.
                socket.create_connection((self.host, self.port), _CONNECT_SECONDS).close()
                self._session = (
                    rpc.connect_tracker(self.host, self.port).request(self.key, session_timeout=_TIMEOUT_SECONDS)
                    if self.key
                    else rpc.connect(self.host, self.port, session_timeout=_TIMEOUT_SECONDS)
                )
            triple = str(self._session.get_function("target.llvm_get_system_triple")())
        except (RuntimeError, OSError, AttributeError) as error:
            self._session = None
            raise MissingToolError(f"{self.name} does not answer ({reason_of(error)}); check the address.") from None
        processor = triple.partition("-")[0]
        return "armv7l" if processor.startswith("arm") and processor != "arm64" else processor


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


def _check(status: int) -> None:
    if status != 0:
        raise CheckFailedError(f"The network failed over RPC with status {status}; see bayespress.h.")
