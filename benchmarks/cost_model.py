"""Fits the coefficients by which deploy/compile/cost.py chooses between dense and sparse kernels.

    OMP_NUM_THREADS=1 python benchmarks/cost_model.py [--rounds 200]

Compiles layers of many shapes and densities both ways, times each kernel alone through the runner, and finds
coefficients, none below 0, of least relative error. Prints them as cost.py writes them, how well they foretell, and how
often the quicker kernel is chosen, on layers that were kept out of the fit.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from raw_results import RawResults, add_json_option
from scipy.optimize import nnls
from torch import nn

from bayespress import codec
from bayespress.deploy.builder.packed_network import stored_weights
from bayespress.deploy.compile.aot import compile_network
from bayespress.deploy.compile.cost import dense_work, sparse_work
from bayespress.deploy.compile.layers import Layer, find_layers
from bayespress.deploy.compile.lower import accumulators, imported, registers_of, tvm_target
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.devices.report import parse_report
from bayespress.deploy.program.export import parameter_names

# Channels in and out, rows and columns, kernel.
CONVOLUTIONS = (
    (1, 20, 28, 5), (15, 24, 12, 5), (20, 50, 12, 5), (3, 64, 32, 3), (64, 64, 32, 3), (64, 128, 16, 3),
    (128, 128, 16, 3), (256, 256, 8, 3), (256, 512, 4, 3), (512, 512, 2, 3), (64, 64, 28, 1), (32, 96, 14, 1),
    (16, 16, 56, 3), (128, 64, 7, 3),
)  # fmt: skip
PRODUCTS = ((784, 300), (300, 100), (100, 10), (384, 68), (800, 500), (512, 512), (1200, 1200), (64, 10))
DENSITIES = (0.01, 0.03, 0.1, 0.3, 0.6)
GROUPS = ("dense_convolution", "dense_product", "sparse_convolution", "sparse_product")


def time_kernels(network: nn.Module, example: torch.Tensor, density: float, rounds: int) -> tuple[Layer, float, float]:
    """The layer, and nanoseconds of its dense and of its sparse kernel."""
    program = torch.export.export(network, (example,), strict=False)
    generator = np.random.default_rng(0)
    tensors: list[codec.Tensor] = []
    for name in parameter_names(program).values():
        value = program.state_dict[name].detach().numpy()
        levels = np.where(generator.random(value.shape) < density, generator.integers(1, 100, value.shape), 0)
        tensors.append(
            codec.QuantizedTensor(name, levels.astype(np.int8), codec.Grid(0.01))
            if value.ndim > 1
            else codec.RawTensor(name, value)
        )
    stored, target = stored_weights(tensors), target_named("host")
    taken = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "w.bpz").write_bytes(codec.encode(tensors, profile="fast"))
        (folder / "x.f32").write_bytes(example.numpy().tobytes())
        for kernels in ("dense", "sparse"):
            (folder / f"between-{kernels}").mkdir()
            made = compile_network(program, target, folder / kernels, folder / f"between-{kernels}", stored, kernels)
            command = [made.runner, folder / "w.bpz", folder / "x.f32", "--repeat", str(rounds), "--layers"]
            printed = subprocess.run(command, capture_output=True, check=True).stdout
            report = parse_report(printed, "host")
            taken[kernels] = sum(each.mean_ns for each in report.layers if "0" in each.kernel)
    with tvm_target(target):
        module = imported(program)
    known = {variable: stored[name] for variable, name in parameter_names(program).items() if name in stored}
    (found,) = (
        each
        for each in find_layers(module["main"], known, accumulators(registers_of(target)))
        if each.layer is not None
    )
    assert found.layer is not None
    return found.layer, taken["dense"], taken["sparse"]


def measure(rounds: int) -> list[tuple[Layer, float, float]]:
    """All layers at all densities."""
    measured = []
    for inputs, outputs, extent, kernel in CONVOLUTIONS:
        for density in DENSITIES:
            x = torch.rand(1, inputs, extent, extent)
            network = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU()).eval()
            measured.append(time_kernels(network, x, density, rounds))
            if extent >= kernel + 1:  # without a border, and with pooling
                network = nn.Sequential(nn.Conv2d(inputs, outputs, kernel), nn.ReLU(), nn.MaxPool2d(2)).eval()
                measured.append(time_kernels(network, x, density, rounds))
    for inputs, outputs in PRODUCTS:
        for density in DENSITIES:
            network = nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU()).eval()
            measured.append(time_kernels(network, torch.rand(1, inputs), density, rounds))
    return measured


def rows(measured: list[tuple[Layer, float, float]], group: str) -> tuple[np.ndarray, np.ndarray]:
    """Work and nanoseconds of one of the groups."""
    product, dense = group.endswith("product"), group.startswith("dense")
    chosen = [each for each in measured if (each[0].geometry is None) == product]
    work = np.array([(dense_work if dense else sparse_work)(layer) for layer, _, _ in chosen])
    return work, np.array([each[1 if dense else 2] for each in chosen])


def main() -> None:
    """Measure, fit and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    add_json_option(parser)
    arguments, results = parser.parse_args(), RawResults()
    torch.manual_seed(0)
    measured = measure(arguments.rounds)
    kept_out = [each for index, each in enumerate(measured) if index % 4 == 3]
    fitted_on = [each for index, each in enumerate(measured) if index % 4 != 3]
    fits = {}
    for group in GROUPS:
        work, taken = rows(fitted_on, group)
        fits[group], _ = nnls(work / taken[:, None], np.ones(len(taken)))  # relative errors, not absolute
        work, taken = rows(kept_out, group)
        error = np.abs(work @ fits[group] / taken - 1.0)
        found = ", ".join(f"{c:.3g}" for c in fits[group])
        results.add(group, nanoseconds=list(fits[group]), median_error_percent=100 * float(np.median(error)))
        print(f"{group}: {found}; off by {100 * np.median(error):.0f} % in the median")
    right, lost = 0, []
    for layer, dense, sparse in kept_out:
        kind = "product" if layer.geometry is None else "convolution"
        guess = np.dot(fits[f"sparse_{kind}"], sparse_work(layer)) < np.dot(fits[f"dense_{kind}"], dense_work(layer))
        right += guess == (sparse < dense)
        lost.append((sparse if guess else dense) / min(sparse, dense))
    print(f"kept out of the fit: the quicker one chosen for {right} of {len(kept_out)} layers")
    results.add("choice", right=int(right), layers=len(kept_out), lost_percent=100 * float(np.mean(lost)) - 100)
    results.write(arguments.json)
    print(f"time lost against always choosing right: {100 * np.mean(lost) - 100:.1f} %")


if __name__ == "__main__":
    main()
