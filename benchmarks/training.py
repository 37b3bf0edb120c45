"""What a training step of each method costs against the same network's deterministic step, interleaved.

    python benchmarks/training.py [--model lenet-300-100] [--batch 100] [--steps 60]

A step is forward, loss, backward, Adam and the method's hook, on random inputs. Prints medians and ratios, and what
part of the step the KL term is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from raw_results import RawResults, add_json_option
from torch import nn

from bayespress.train.bayesian import BayesianNetwork, bayesianize
from bayespress.train.methods import METHODS
from bayespress.train.models import build_model

_EXAMPLES = 60_000


def deterministic(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """A step of ordinary training."""
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()

    return step


def variational(net: BayesianNetwork, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """A step by the ELBO, as `fit` takes it."""
    net.train()
    net.start_prior()
    net.defer_gradients(True)
    optimizer = torch.optim.Adam(net.method.parameter_groups(net, 1e-3), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        net.add_kl_gradient(1.0 / _EXAMPLES)
        optimizer.step()
        net.after_step(0.5)

    return step


def divergence(net: BayesianNetwork) -> Callable[[], None]:
    """The KL term's gradient alone, added to what is there."""
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)

    def step() -> None:
        net.add_kl_gradient(1.0)

    return step


def main() -> None:
    """Measure all methods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lenet-300-100")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--shape", default="1,28,28", help="of an input")
    add_json_option(parser)
    arguments, results = parser.parse_args(), RawResults()
    torch.manual_seed(0)
    x = torch.rand(arguments.batch, *map(int, arguments.shape.split(",")))
    y = torch.randint(10, (arguments.batch,))
    network = build_model(arguments.model)
    contenders = {"deterministic": deterministic(build_model(arguments.model), x, y)}
    for name in arguments.methods.split(","):
        contenders[name] = variational(bayesianize(network, name), x, y)
        contenders[f"{name}: KL alone"] = divergence(bayesianize(network, name).train())
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(arguments.steps + 5):
        for name, step in contenders.items():
            before = time.perf_counter()
            step()
            if round_number >= 5:
                times[name].append(time.perf_counter() - before)
    base = statistics.median(times["deterministic"])
    print(f"{arguments.model}, batch {arguments.batch}, {torch.get_num_threads()} threads")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:36} {1000 * median:8.2f} ms  {median / base:6.2f}x")
        results.add(name, seconds=taken, median_seconds=median, ratio=median / base)
    results.write(arguments.json)


if __name__ == "__main__":
    main()
