"""Bundles over TVM's own RPC: a real tracker and a real server on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bayespress
from bayespress.deploy.devices.qemu import ARM64
from bayespress.deploy.measure.bench import bench
from bayespress.errors import InputError, MissingToolError

pytestmark = [pytest.mark.xdist_group("deploy"), pytest.mark.slow]
ARM_PYTHON = Path(__file__).resolve().parents[2] / "build" / "arm-python"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "it ended at once"
        time.sleep(0.1)
    raise AssertionError("it does not answer")


@pytest.fixture(scope="module")
def tracker():
    """The port of a tracker with one server, which has the key `board`."""
    port, server_port = free_port(), free_port()
    start = [sys.executable, "-m"]
    # In separate sessions, because the server's workers outlive it.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    command = [*start, "tvm.exec.rpc_tracker", "--host=127.0.0.1", f"--port={port}", f"--port-end={port + 1}"]
    tracking = subprocess.Popen(command, **quiet)
    wait_for(port, tracking)
    serving = subprocess.Popen(
        [*start, "tvm.exec.rpc_server", "--host=127.0.0.1", f"--port={server_port}",
         f"--port-end={server_port + 1}", f"--tracker=127.0.0.1:{port}", "--key=board"],
        **quiet,
    )  # fmt: skip
    wait_for(server_port, serving)
    yield port, server_port
    for process in (serving, tracking):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.fixture(scope="module")
def arm_server():
    """The port of a server in emulated 64-bit ARM, with the Python of a real board."""
    python = ARM_PYTHON / "python"
    if ARM64.path() is None or not python.is_file():
        pytest.skip("a Python for ARM, which runs TVM's server, is not installed (make arm-python; qemu-user-static)")
    port = free_port()
    command = [python, "-m", "tvm.exec.rpc_server", "--host=127.0.0.1", f"--port={port}", f"--port-end={port + 1}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    serving = subprocess.Popen(command, **quiet)
    wait_for(port, serving)
    yield port
    os.killpg(serving.pid, signal.SIGTERM)
    serving.wait()


@pytest.mark.parametrize("kernels", ["dense", "sparse"])
def test_verify_on_another_processor(kernels, packed, arm_server, tmp_path):
    bayespress.build(packed("padded"), ["arm64-linux"], tmp_path / "it.bundle", kernels=kernels)
    report = bayespress.verify(tmp_path / "it.bundle", [f"rpc://127.0.0.1:{arm_server}"])
    assert report.checks[-1].name == "golden vectors, network over TVM's RPC"
    assert report.checks[-1].outcome == "passed", report.checks[-1]


def test_verify_on_a_machine_of_a_farm(pristine, tracker):
    report = bayespress.verify(pristine, [f"rpc://127.0.0.1:{tracker[0]}/board"])
    assert [check.outcome for check in report.checks] == ["passed"] * 4, report.checks
    assert report.checks[-1].name == "golden vectors, network over TVM's RPC"


def test_bench_on_a_machine_of_a_farm(pristine, tracker):
    (device,) = bench(pristine, seconds=0.05, devices=[f"rpc://127.0.0.1:{tracker[0]}/board"]).devices
    assert device.median_us > 0
    assert device.p99_us >= device.median_us >= device.min_us


def test_threads_over_rpc(pristine, tracker):
    with pytest.raises(InputError, match=r"rpc://.* runs one example at a time; leave --threads out"):
        bench(pristine, seconds=0.05, devices=[f"rpc://127.0.0.1:{tracker[0]}/board"], threads=[2])


def test_an_address_without_an_rpc_server(pristine):
    with pytest.raises(MissingToolError, match=r"rpc://127.0.0.1:\d+ does not answer"):
        bayespress.verify(pristine, [f"rpc://127.0.0.1:{free_port()}"])


@pytest.mark.parametrize("name", ["rpc://", "rpc://host", "rpc://host:port/key", "rpc://host:9190/a/b"])
def test_rejects_invalid_addresses(pristine, name):
    with pytest.raises(InputError, match=r"is not a valid RPC device: .*; write it as rpc://tracker:9190/key"):
        bayespress.verify(pristine, [name])
