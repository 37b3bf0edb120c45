"""Networks that torch.compile wraps: made variational, trained compiled, compressed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bayespress
from bayespress.errors import InputError
from bayespress.train.bayesian import BayesianNetwork, bayesianize
from bayespress.train.compiled import is_compiled, uncompiled
from bayespress.train.data import batches
from bayespress.train.methods import METHODS
from bayespress.train.models import build_model

BACKEND = "aot_eager"  # traces and differentiates as every backend does; inductor's C++ compiler takes seconds a graph


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()


def problem():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 8, generator=generator)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))


class Runs:
    """A backend that counts the graphs it compiles, and how often they run."""

    def __init__(self):
        self.graphs, self.runs = 0, 0

    def __call__(self, graph, example):
        self.graphs += 1

        def run(*inputs):
            self.runs += 1
            return graph(*inputs)

        return run


def test_a_compiled_network_is_made_variational_from_the_module_inside():
    network = plain()
    net = bayesianize(torch.compile(network, backend=BACKEND))
    assert [name for name, _ in net.variational_layers()] == ["0", "2"]
    assert torch.equal(net.point_network()[0].weight, network[0].weight)
    assert not is_compiled(net.point_network())


class Holds(nn.Module):
    """A network that compiles a part of itself."""

    def __init__(self):
        super().__init__()
        self.body = torch.compile(plain(), backend=BACKEND)
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.body(x))


def test_a_network_with_compiled_parts_is_taken_apart_and_the_given_one_left_as_it_was():
    network = Holds()
    net = bayesianize(network, keep=["body._orig_mod.0", "head"])
    assert [name for name, _ in net.variational_layers()] == ["body.2"]
    assert {"body.2.weight", "body.2.weight/variance", "head.weight"} <= net.posterior_tensors().keys()
    x = torch.randn(5, 8)
    torch.testing.assert_close(net.point_network()(x), network.eval()(x))
    assert is_compiled(network.body)


def test_a_model_that_compiles_itself_has_the_names_of_one_that_does_not():
    model = build_model(f"{__name__}:Holds")
    assert {"body.0.weight", "head.weight"} <= model.state_dict().keys()


def test_a_compiled_network_trains_compiled_and_the_one_inside_is_returned():
    backend, epochs = Runs(), []
    net = bayesianize(plain())
    compiled = torch.compile(net, backend=backend)
    x, y = problem()
    trained = bayespress.fit(
        compiled, batches(x, y, 20, seed=0), batches(x, y, 100), epochs=20, learning_rate=0.02, report=epochs.append
    )
    assert trained is net
    assert isinstance(trained, BayesianNetwork)
    assert backend.runs >= 20 * (10 + 2)
    assert backend.graphs < 8  # compiled once for each mode and shape, and not anew in each step
    assert epochs[-1].metric < 8.0
    assert not compiled.training
    torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_it_trains_as_the_network_itself_does(method):
    """The same noise is drawn in the same order, so that only rounding differs."""
    x, y = problem()

    def trained(wrap):
        net = bayesianize(plain(), method)
        return bayespress.fit(wrap(net), batches(x, y, 50, seed=0), epochs=2, warmup_end=0.0)

    eager, compiled = trained(lambda net: net), trained(lambda net: torch.compile(net, backend="eager"))
    for name, parameter in eager.named_parameters():
        torch.testing.assert_close(compiled.get_parameter(name), parameter, atol=1e-4, rtol=1e-3, msg=name)


def test_a_compiled_run_resumes_and_its_checkpoint_is_that_of_the_network_inside(tmp_path):
    class Stop(Exception):  # noqa: N818
        pass

    def stop(metrics):
        if metrics.epoch == 1:
            raise Stop

    x, y = problem()
    net = torch.compile(bayesianize(plain()), backend=BACKEND)
    with pytest.raises(Stop):
        bayespress.fit(net, batches(x, y, 50, seed=0), epochs=4, folder=tmp_path, report=stop)
    epochs = []
    bayespress.fit(
        bayesianize(plain()), batches(x, y, 50, seed=0), epochs=4, folder=tmp_path, resume=True, report=epochs.append
    )
    assert [metrics.epoch for metrics in epochs] == [1, 2, 3]  # the checkpoint is written after the report of an epoch


def test_what_trained_compiled_predicts_and_is_compressed():
    x, y = problem()
    compiled = torch.compile(bayesianize(plain()), backend=BACKEND)
    bayespress.fit(compiled, batches(x, y, 50, seed=0), epochs=2)
    assert bayespress.predict_samples(compiled, x[:5], 3).mean.shape == (5, 2)
    packed = bayespress.compress(compiled, x[:4])
    direct = bayespress.compress(uncompiled(compiled), x[:4])
    assert packed.weights == direct.weights


def test_rejects_a_compiled_network_that_is_not_variational():
    x, y = problem()
    compiled = torch.compile(plain(), backend=BACKEND)
    with pytest.raises(InputError, match="Sequential"):
        bayespress.fit(compiled, batches(x, y, 50), epochs=1)
    with pytest.raises(InputError, match="posterior"):
        bayespress.compress(compiled, x[:4])


@pytest.mark.slow
def test_inductor_compiles_and_trains_it():
    x, y = problem()
    epochs = []
    bayespress.fit(
        torch.compile(bayesianize(plain())), batches(x, y, 20, seed=0), batches(x, y, 100), epochs=20,
        learning_rate=0.02, report=epochs.append,
    )  # fmt: skip
    assert epochs[-1].metric < 8.0
