"""A child process with TVM's RPC client: calls a network on a server and prints a report as a runner does.

    python -P -m bayespress.deploy.devices.rpc_process JOB.json

The job is an RpcJob. If it has no run, the server's target triple is printed instead. Exit status: 0 success, 1 the
network failed on the server, UNREACHABLE or LOST. An error is one line on standard error.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .jobs import RpcJob, RpcRun, RpcServer
from .report import MARKER

if TYPE_CHECKING:
    from tvm.rpc import RPCSession
    from tvm.runtime import Module, Tensor
    from tvm_ffi import Device

UNREACHABLE, LOST = 3, 4  # exit statuses: the server does not answer; the connection was lost during the run
MACHINE_MARKER = "bayespress-machine-1 "
_CONNECT_SECONDS = 10
_SESSION_SECONDS = 60
_MOST_RUNS = 1000


class _NetworkError(Exception):
    pass


def main(job: RpcJob) -> int:
    """Execute the job and return the exit status."""
    try:
        session = _connect(job.server)
        triple = str(session.get_function("target.llvm_get_system_triple")())
    except (RuntimeError, OSError, AttributeError) as error:
        return _report_error(error, UNREACHABLE)
    if job.run is None:
        print(f"{MACHINE_MARKER}{triple}", flush=True)
        return 0
    try:
        session.upload(str(job.run.library))
        module = session.load_module(job.run.library.name)
        report = _run_network(job.run, session.cpu(0), module)
    except _NetworkError as error:
        return _report_error(error, 1)
    except (RuntimeError, OSError, AttributeError) as error:
        return _report_error(error, LOST)
    print(f"{MARKER.decode()}{json.dumps(report)}", flush=True)
    return 0


def _report_error(error: Exception, status: int) -> int:
    lines = str(error).strip().splitlines()
    print(lines[0] if lines else type(error).__name__, file=sys.stderr)
    return status


def _connect(server: RpcServer) -> RPCSession:
    from tvm import rpc

    # Fail early: TVM itself tries to reach a tracker for a minute.
    socket.create_connection((server.host, server.port), _CONNECT_SECONDS).close()
    if server.key:
        tracker = rpc.connect_tracker(server.host, server.port)
        return tracker.request(server.key, session_timeout=_SESSION_SECONDS)
    return rpc.connect(server.host, server.port, session_timeout=_SESSION_SECONDS)


def _run_network(job: RpcRun, device: Device, module: Module) -> dict[str, object]:
    import numpy as np
    import tvm

    request = job.request
    examples = np.fromfile(job.inputs, "<f4").reshape(-1, *job.input_shape)
    weights = tvm.runtime.tensor(np.fromfile(job.weights, np.uint8), device)
    load = module.time_evaluator("bayespress_load", device, number=1, repeat=1)(weights)
    _check(module["bayespress_load"](weights))
    out = tvm.runtime.tensor(np.zeros(job.output_shape, np.float32), device)
    report: dict[str, object] = {"load_ns": 1e9 * load.mean, "workspace_bytes": module["bayespress_workspace"]()}
    if request.facts:
        unknown = ("peak_kb", "cpu", "hardware", "part", "governor", "temperature_c")
        report["facts"] = dict.fromkeys(unknown)
    outputs: list[list[float | None]] = []
    report["outputs"] = outputs
    for example in examples if request.outputs else examples[:1]:
        _check(module["bayespress_run"](tvm.runtime.tensor(example, device), out))
        if request.outputs:
            values = out.numpy().ravel().tolist()
            outputs.append([value if math.isfinite(value) else None for value in values])
    first = tvm.runtime.tensor(examples[0], device)
    repeat = min(max(1, request.repeat), _MOST_RUNS)
    timed = module.time_evaluator("bayespress_run", device, number=1, repeat=repeat)(first, out)
    times = np.array(timed.results) * 1e9
    report["first_ns"] = float(times[0])
    if request.repeat:
        run_ns: dict[str, float] = {"repeat": len(times), "min": times.min().item(), "median": float(np.median(times))}
        report["run_ns"] = run_ns | {f"p{part}": float(np.percentile(times, part)) for part in (10, 90, 99)}
    if request.digests:
        report["digests"] = list(_digests(job.tensor_sizes, module, weights, device))
    return report


def _digests(sizes: Sequence[int], module: Module, weights: Tensor, device: Device) -> Iterator[int]:
    import numpy as np
    import tvm

    for index, size in enumerate(sizes):
        values = tvm.runtime.tensor(np.zeros(size, np.float32), device)
        _check(module["bayespress_decode"](weights, index, values))
        yield zlib.crc32(values.numpy().astype("<f4").tobytes())


def _check(status: int) -> None:
    if status != 0:
        raise _NetworkError(f"the network failed with status {status}; see bayespress.h for its meaning")


if __name__ == "__main__":
    sys.exit(main(RpcJob.read(Path(sys.argv[1]))))
