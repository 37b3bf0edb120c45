"""Training through Lightning: it learns, it reports, it resumes as if it had never stopped."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bayespress.errors import InputError
from bayespress.train.bayesian import bayesianize
from bayespress.train.data import batches
from bayespress.train.elbo import kl_warmup, negative_elbo
from bayespress.train.fit import FitSettings, fit
from bayespress.train.methods import METHODS


def problem(examples=400):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(examples, 8, generator=generator)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def fresh(seed=0, method="sparse-vd"):
    torch.manual_seed(seed)
    return bayesianize(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), method)


def test_it_learns_and_turns_weights_into_noise():
    x, y = problem()
    reports = []
    net = fit(
        fresh(),
        batches(x, y, 20, seed=0),
        batches(x, y, 100),
        epochs=40,
        learning_rate=0.01,
        report=reports.append,
    )
    assert [metrics.epoch for metrics in reports] == list(range(40))
    assert reports[-1].metric < 6.0
    assert reports[-1].sparsity_percent > 50.0
    assert reports[-1].kl < reports[0].kl
    assert not net.training


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_resumed_run_equals_an_uninterrupted_one(method, tmp_path):
    x, y = problem(200)

    class Stop(Exception):  # noqa: N818
        pass

    def stop_after_two(metrics):
        if metrics.epoch == 2:
            raise Stop

    whole = fit(fresh(method=method), batches(x, y, 20, seed=3), epochs=5, seed=3)
    with pytest.raises(Stop):
        fit(fresh(method=method), batches(x, y, 20, seed=3), epochs=5, seed=3, folder=tmp_path, report=stop_after_two)
    resumed = fit(
        fresh(seed=9, method=method), batches(x, y, 20, seed=3), epochs=5, seed=3, folder=tmp_path, resume=True
    )
    for (name, expected), (_, got) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(expected, got), name


def test_the_same_seed_gives_the_same_network():
    x, y = problem(200)
    runs = [fit(fresh(), batches(x, y, 50, seed=1), epochs=2, seed=1) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(runs[0].parameters(), runs[1].parameters(), strict=True))


def test_a_network_left_in_evaluation_mode_is_trained_all_the_same():
    x, y = problem(200)
    sampled = fit(fresh(), batches(x, y, 50, seed=1), epochs=2, seed=1)
    left = fit(fresh().eval(), batches(x, y, 50, seed=1), epochs=2, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(sampled.parameters(), left.parameters(), strict=True))


def test_any_data_loader_will_do():
    x, y = problem(100)
    reports = []
    fit(fresh(), DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True), epochs=1, report=reports.append)
    assert reports[0].metric is None


def test_the_loss_is_the_negative_elbo_per_example():
    assert float(negative_elbo(torch.tensor(0.5), torch.tensor(300.0), 100)) == pytest.approx(3.5)
    assert float(negative_elbo(torch.tensor(0.5), torch.tensor(300.0), 100, kl_weight=0.5)) == pytest.approx(2.0)


def test_kl_warmup_is_linear_between_its_ends():
    assert [kl_warmup(epoch, 2, 6) for epoch in (0, 2, 3, 4, 6, 9)] == [0.0, 0.0, 0.25, 0.5, 1.0, 1.0]
    assert kl_warmup(0.0, 0.0, 0.0) == 1.0
    assert [kl_warmup(epoch, 3, 3) for epoch in (0, 2.9, 3, 4)] == [0.0, 0.0, 1.0, 1.0]


def test_batches_cover_the_data_once_an_epoch_and_follow_seed_and_epoch():
    x = torch.arange(10)
    loader = batches(x, x, 4, seed=5)
    first = torch.cat([images for images, _ in loader])
    assert torch.equal(first, torch.cat([images for images, _ in loader]))
    assert torch.equal(first.sort().values, x)
    loader.sampler.set_epoch(1)
    assert not torch.equal(first, torch.cat([images for images, _ in loader]))
    assert [len(images) for images, _ in loader] == [4, 4, 2]
    assert len(loader) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "0 epochs"),
        ({"learning_rate": -1.0}, "learning rate is -1.0"),
        ({"warmup_start": 0.5, "warmup_end": 0.2}, "KL warm-up runs from 0.5 to 0.2"),
    ],
)
def test_settings_outside_their_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        FitSettings(**arguments)


def test_nothing_to_resume_from(tmp_path):
    x, y = problem(20)
    with pytest.raises(InputError, match="no checkpoint"):
        fit(fresh(), batches(x, y, 10, seed=0), epochs=1, folder=tmp_path, resume=True)


def test_a_loss_that_is_not_finite_ends_the_run():
    x, y = problem(20)
    x[3, 3] = float("nan")
    with pytest.raises(InputError, match="loss became nan in epoch 0"):
        fit(fresh(), batches(x, y, 10, seed=0), epochs=1)


def test_batches_on_the_meta_device_are_refused():
    x, y = problem(40)
    with pytest.raises(InputError, match="training loader gave a tensor on the meta device, which has no values"):
        fit(fresh(), [(x, y.to("meta"))], epochs=1, examples=40)
