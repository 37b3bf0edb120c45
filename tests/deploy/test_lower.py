"""Unsupported operators are listed before compilation, and values that depend only on weights are computed once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bayespress
from bayespress.deploy.compile.aot import compile_network
from bayespress.deploy.compile.lower import lower
from bayespress.deploy.compile.opencl import lower_opencl
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.measure.bench import bench
from bayespress.errors import InputError

pytestmark = pytest.mark.xdist_group("deploy")


class Odd(nn.Module):
    """A network with operators that TVM does not support, inside a submodule."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return torch.special.i0(torch.erfinv(self.linear(x)))


def test_all_unsupported_operators_are_listed_with_their_places():
    network = nn.Sequential(nn.Linear(4, 4), Odd())
    program = torch.export.export(network, (torch.randn(1, 4),), strict=False)
    with pytest.raises(
        InputError,
        match=r"erfinv.default in 1 \(Odd\) is not supported; .*i0.default in 1 \(Odd\) is not supported; replace",
    ):
        lower(program, target_named("host"))


class Fails:
    """A replacement for a function of TVM that raises an exception of any type with several lines of text."""

    def __init__(self, error):
        self.error = error

    def __call__(self, *arguments, **options):
        raise self.error


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("tvm.tirx", "build"),
        ("bayespress.deploy.compile.lower", "planned"),
        ("bayespress.deploy.compile.lower", "schedule_kernel"),
        ("bayespress.deploy.compile.opencl", "planned"),
        ("bayespress.deploy.compile.opencl", "_scheduled"),
        ("bayespress.deploy.compile.opencl", "_split"),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError("InternalError: no rule\nStack trace:"), KeyError("x"), TypeError()])
def test_an_error_of_tvm_becomes_one_sentence(place, name, error, monkeypatch, tmp_path):
    monkeypatch.setattr(f"{place}.{name}", Fails(error))
    program = torch.export.export(nn.Linear(4, 3), (torch.randn(1, 4),))
    compiles = {"bayespress.deploy.compile.opencl": lambda: lower_opencl(program, target_named("opencl"))}.get(
        place, lambda: compile_network(program, target_named("host"), tmp_path / "host", tmp_path, {})
    )
    with pytest.raises(InputError, match=r"^TVM cannot compile this network \(\w+Error: .*\); replace") as refused:
        compiles()
    assert "\n" not in str(refused.value)


def test_batch_norms_are_folded_when_the_weights_are_loaded():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    program = torch.export.export(network, (torch.randn(1, 1, 8, 8),), strict=False)
    _, plan = lower(program, target_named("host"))
    assert any(call.once for call in plan.calls)
    assert [call.kernel for call in plan.calls if not call.once] == ["bp_dense_0"], "one kernel a run"
    assert all(view.arena == (position in (0, len(call.views) - 1)) for call in plan.calls if not call.once
               for position, view in enumerate(call.views))  # fmt: skip


def test_rejects_invalid_kernels(packed, tmp_path):
    with pytest.raises(InputError, match="no kind of kernels 'quick'"):
        bayespress.build(packed("mlp"), ["host"], tmp_path / "x", kernels="quick")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compare": ["caffe"]}, "no runtime to compare with 'caffe'"),
        ({"threads": [0]}, "cannot be measured; give 1 to"),
        ({"batches": [8, 0], "threads": [1]}, "A batch of 8, 0 examples on 1 threads cannot be measured"),
        ({"devices": ["toaster"]}, "no device 'toaster'"),
    ],
)
def test_rejects_invalid_benchmarks(pristine, options, message):
    with pytest.raises(InputError, match=message):
        bench(pristine, seconds=0.05, **options)


def test_a_bench_of_threads_and_layers(pristine):
    report = bench(pristine, seconds=0.05, threads=[1, 2], batches=[1, 32], compare=[])
    assert [row.label for row in report.rows] == ["compiled"]
    (device,) = report.devices
    assert [(each.examples, each.threads) for each in device.batches] == [(1, 1), (1, 2), (32, 1), (32, 2)]
    assert device.layers
    assert device.load_us > 0
    assert device.peak_kb > 0
