"""Retraining trains the values that the file holds, and lowers the loss."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bayespress import codec
from bayespress.codec import Grid
from bayespress.compress.pipeline import compress_network
from bayespress.compress.posterior import Posterior
from bayespress.compress.quantize import SHARED
from bayespress.compress.retrain import Labelled, retrain
from bayespress.compress.settings import CompressSettings
from bayespress.errors import InputError


def teacher():
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)).requires_grad_(False)


@pytest.fixture(scope="module")
def data():
    x = torch.randn(600, 12, generator=torch.Generator().manual_seed(1))
    y = teacher()(x).argmax(1)
    batches = [(x[k : k + 50], y[k : k + 50]) for k in range(0, 600, 50)]
    return Labelled(lambda _epoch: batches, len(batches), len(x))


def posterior_of(network, deviation=0.06):
    values = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    return Posterior(values, {n: torch.full_like(t, deviation**2) for n, t in values.items() if t.ndim > 1})


def log_loss(network, data):
    with torch.no_grad():
        return sum(float(F.cross_entropy(network(x), y)) for x, y in data.batches(0)) / data.count


def pack(data, **settings):
    settings = {"budget": 1.0, "threshold": 20.0, **settings}
    return compress_network(
        teacher(), posterior_of(teacher()), torch.randn(2, 12), CompressSettings(**settings), data=data
    )


def test_retrained_levels_lower_the_loss_without_more_bytes(data):
    before, after = pack(data), pack(data, retrain=15, rate_weight=1.0, learning_rate=0.05)
    assert log_loss(after.network, data) < 0.9 * log_loss(before.network, data)
    assert len(after.weights) <= len(before.weights)
    assert [step.name for step in after.steps] == ["trained", "threshold", "remove units", "levels", "retrained"]
    assert after.steps[-1].bytes == len(after.weights)


def test_a_higher_rate_gives_a_smaller_file(data):
    sizes = [len(pack(data, retrain=6, learning_rate=0.05, rate_weight=rate).weights) for rate in (0.0, 1.0, 4.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.1 * sizes[-1]


def test_pruned_weights_stay_zero(data):
    network = teacher()
    with torch.no_grad():
        network[0].weight[:, 3] = 0
        network[2].weight[1] = 0
    codings = {"0.weight": Grid(0.1), "2.weight": Grid(0.1)}
    settings = CompressSettings(retrain=2, learning_rate=0.5)
    found = retrain(network, codings, data, settings)
    assert not network[0].weight[:, 3].any()
    assert not network[2].weight[1].any()
    for name in codings:
        levels = network.state_dict()[name] / found[name].step
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
        assert found[name].step != 0.1, "the step is not trained"


def test_weights_that_share_a_value_change_together(data):
    network = teacher()
    with torch.no_grad():
        for layer in (network[0], network[2]):
            layer.weight.copy_((layer.weight / 0.2).round() * 0.2)
    before = copy.deepcopy(network)
    codings = {"0.weight": SHARED, "2.weight": SHARED}
    assert retrain(network, codings, data, CompressSettings(retrain=4, learning_rate=0.01)) == codings
    for k in (0, 2):
        old, new = before[k].weight, network[k].weight
        assert bool((new[old == 0] == 0).all())
        for value in old.unique():
            assert len(new[old == value].unique()) == 1
        assert not torch.equal(old, new)
    assert log_loss(network, data) < log_loss(before, data)


def test_distillation_follows_the_teacher(data):
    """The labels are random, so that only the teacher's outputs hold information."""
    labels = torch.randint(0, 4, (50,), generator=torch.Generator().manual_seed(5))
    random = Labelled(lambda epoch: [(x, labels) for x, _ in data.batches(epoch)], data.count, data.examples)
    distilled = pack(random, retrain=8, learning_rate=0.05, distill=1.0)
    plain = pack(random, retrain=8, learning_rate=0.05)
    assert log_loss(distilled.network, data) < log_loss(plain.network, data) - 0.1


def test_the_same_settings_give_the_same_file(data):
    assert pack(data, retrain=2, rate_weight=0.5).weights == pack(data, retrain=2, rate_weight=0.5).weights


def test_codebooks_are_retrained_in_the_pipeline(data):
    plain, trained = (pack(data, quantizer="codebook", clusters=4, retrain=epochs) for epochs in (0, 6))
    assert log_loss(trained.network, data) < log_loss(plain.network, data)
    maps = [t.value_map for t in codec.decode(trained.weights) if isinstance(t, codec.QuantizedTensor)]
    assert maps
    assert all(isinstance(book, codec.Codebook) and len(book.entries) <= 5 for book in maps)


def test_rejects_missing_data_and_a_loss_that_is_not_finite(data):
    with pytest.raises(InputError, match="3 epochs of retraining were asked for without data"):
        pack(None, retrain=3)
    poisoned = Labelled(lambda _epoch: [(torch.full((2, 12), float("nan")), torch.zeros(2, dtype=torch.long))], 1, 2)
    with pytest.raises(InputError, match="loss of retraining became nan in epoch 0; lower its learning rate"):
        pack(poisoned, retrain=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retrain": -1}, "-1 epochs of retraining"),
        ({"retrain": "many"}, "retrain is 'many'; it must be a whole number"),
        ({"retrain": True}, "retrain is True; it must be a whole number"),
        ({"budget": "0.1"}, "budget is '0.1'; it must be a number"),
        ({"shared": 1}, "shared is 1; it must be true or false"),
        ({"quantizer": None}, "quantizer is None; it must be a string"),
        ({"threshold": []}, r"threshold is \[\]; it must be a number"),
        ({"learning_rate": 0.0}, "learning rate is 0.0"),
        ({"distill": 1.5}, "distillation is 1.5"),
        ({"retrain": 1, "quantizer": "round-off"}, "round-off.* cannot be retrained"),
        ({"clusters": 1}, "codebook of 1 values"),
        ({"quantizer": "float"}, "no quantizer 'float'; choose one of posterior"),
        ({"codebook_start": "middle"}, "no start of a codebook 'middle'"),
    ],
)
def test_rejects_invalid_settings(settings, message):
    with pytest.raises(InputError, match=message):
        CompressSettings(**settings)
