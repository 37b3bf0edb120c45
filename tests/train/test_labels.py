"""Labels, batches, loaders and outputs: what is taken, as which values, and what is refused in one sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from bayespress.errors import InputError
from bayespress.labels import class_count, class_labels
from bayespress.train.bayesian import bayesianize
from bayespress.train.data import DataSet, load_data
from bayespress.train.evaluate import error_percent
from bayespress.train.fit import fit

RIGHT = torch.tensor([2, 0, 1, 2])
ONE_HOT = torch.nn.functional.one_hot(RIGHT, 3)


@pytest.mark.parametrize(
    "labels",
    [
        *(RIGHT.to(kind) for kind in (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)),
        RIGHT[:, None], RIGHT.int()[:, None], RIGHT.numpy(), RIGHT.numpy().astype(np.uint16),
        RIGHT.numpy().astype(">i4"), RIGHT.numpy().astype(np.uint64), RIGHT.tolist(), tuple(RIGHT.tolist()),
        *(RIGHT.to(kind) for kind in (torch.uint16, torch.uint32, torch.uint64)), ONE_HOT.to(torch.uint16),
        ONE_HOT, ONE_HOT.float(), ONE_HOT.double(), ONE_HOT.bool(), ONE_HOT.numpy(), ONE_HOT.tolist(),
        np.asfortranarray(ONE_HOT.numpy())[::1], RIGHT.numpy()[::-1][::-1],
    ],
)  # fmt: skip
def test_labels_that_mean_one_thing_are_taken(labels):
    found = class_labels(labels, 4, 3, "It")
    assert found.dtype == torch.int64
    assert torch.equal(found, RIGHT)
    assert class_count([labels], "It") == 3


def test_booleans_are_two_classes():
    assert class_labels(torch.tensor([True, False]), 2, 2, "It").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (RIGHT.float(), "labels of type float32"),
        (torch.tensor([0.5, 1.0, 0.0, 2.0]), "labels of type float32"),
        (RIGHT.to(torch.complex64), "labels of type complex64"),
        (torch.tensor([0, 1, 2, 3]), "holds label 3; labels must be 0 to 2"),
        (torch.tensor([0, -100, 2, 1]), "holds label -100"),
        (torch.tensor([0, 1, 2, 2**63 + 1], dtype=torch.uint64), "holds label 9223372036854775809"),
        (np.array([0, 1, 2, 2**63], np.uint64), "holds label 9223372036854775808"),
        (RIGHT[:3], r"4 inputs and labels of shape \(3,\)"),
        (torch.tensor(1), r"labels of shape \(\)"),
        (RIGHT.reshape(2, 2), r"labels of shape \(2, 2\)"),
        (torch.zeros(4, 3), "not one-hot"),
        (ONE_HOT.float() * 0.9 + 0.05, "not one-hot"),
        (torch.full((4, 3), float("nan")), "not one-hot"),
        (torch.zeros(4, 5, dtype=torch.long), r"labels of shape \(4, 5\)"),
        (torch.zeros(4, 3, 2), r"labels of shape \(4, 3, 2\)"),
        (np.array(["a", "b", "c", "d"]), "labels of type <U1"),
        (np.array([0, 1, 2, None]), "labels of type object"),
        ([[0], [1, 2], [0], [1]], "labels of type list"),
        (None, "labels of type NoneType"),
        ({"a": 1}, "labels of type dict"),
        (RIGHT.to_sparse(), "layout"),
    ],
)
def test_labels_that_could_mean_another_are_refused(labels, message):
    with pytest.raises(InputError, match=message) as caught:
        class_labels(labels, 4, 3, "Batch 7")
    assert str(caught.value).startswith("Batch 7 h")
    assert "\n" not in str(caught.value)


def test_classes_are_counted_without_filling_memory():
    assert class_count((RIGHT, torch.tensor([4])), "It") == 5
    assert class_count((ONE_HOT.float(),), "It") == 3
    with pytest.raises(InputError, match="holds label 1000000000000"):
        class_count((torch.tensor([10**12]),), "It")


def part(images=None, labels=None):
    return (torch.rand(4, 6) if images is None else images), (RIGHT if labels is None else labels)


def data_set(**changed):
    images, labels = part()
    fields = {"train_inputs": images, "train_targets": labels, "test_inputs": images, "test_targets": labels}
    parts = fields | changed
    train, test = ((parts[f"{part}_inputs"], parts[f"{part}_targets"]) for part in ("train", "test"))
    return DataSet("it", train, test, labels=("a", "b", "c"))


def test_a_data_set_takes_arrays_and_other_labels():
    data = data_set(
        train_inputs=np.random.default_rng(0).random((4, 6)), train_targets=ONE_HOT.float(), test_targets=[2, 0, 1, 2]
    )
    assert data.train.inputs.dtype == torch.float32
    assert torch.equal(data.train.targets, RIGHT)
    assert torch.equal(data.test.targets, RIGHT)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_inputs": torch.zeros(0, 6)}, "training set of it is empty"),
        ({"train_inputs": torch.tensor(1.0)}, "is empty"),
        ({"train_inputs": torch.full((4, 6), float("nan"))}, "NaN"),
        ({"test_inputs": torch.full((4, 6), float("inf"))}, "test set of it holds NaN or infinite"),
        ({"train_inputs": np.full((4, 6), 1e300)}, "float32 cannot"),
        ({"train_inputs": np.array([[object()]] * 4)}, "inputs of type object"),
        ({"train_inputs": [[1.0]] * 4}, "inputs of type list"),
        ({"train_inputs": None}, "inputs of type NoneType"),
        ({"test_inputs": torch.rand(4, 7)}, r"inputs of shape \(7,\)"),
        ({"train_targets": RIGHT[:2]}, "4 inputs and labels of shape"),
        ({"test_targets": RIGHT + 1}, "test set of it holds label 3"),
        ({"train_targets": RIGHT.float()}, "type float32"),
    ],
)
def test_a_data_set_refuses(changed, message):
    with pytest.raises(InputError, match=message):
        data_set(**changed)


OWN = """
import numpy as np, torch
from torch import nn
def arrays():
    return np.random.rand(6, 4), np.arange(6, dtype=np.uint8) % 3, np.random.rand(3, 4), np.arange(3)
def one_hot():
    return torch.rand(3, 4), torch.eye(3), torch.rand(3, 4), torch.eye(3)
def floats():
    return torch.rand(3, 4), torch.rand(3), torch.rand(3, 4), torch.rand(3)
def huge():
    return torch.rand(3, 4), torch.tensor([0, 1, 10**15]), torch.rand(3, 4), torch.tensor([0, 1, 1])
def three():
    return torch.rand(3, 4), torch.arange(3), torch.rand(3, 4)
def none():
    return [None, None, None, None]
def raises():
    raise KeyError("no such\\ncolumn")
def leaves():
    raise SystemExit(7)
"""


def test_data_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "odd_data_for_test.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert load_data("odd_data_for_test:arrays").labels == ("0", "1", "2")
    assert load_data("odd_data_for_test:one_hot").train.targets.tolist() == [0, 1, 2]
    for name, message in [
        ("floats", "labels of type float32"), ("huge", "holds label 1000000000000000"), ("three", "tuple of 3"),
        ("none", "labels of type NoneType"), ("raises", "raised KeyError: 'no such"),
        ("leaves", "raised SystemExit: 7"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message) as caught:
            load_data(f"odd_data_for_test:{name}")
        assert "\n" not in str(caught.value)


def network(classes=3):
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, classes))


def trained(loader, val=None, net=None, **options):
    return fit(bayesianize(net or network()), loader, val, **({"epochs": 1, "examples": 4} | options))


@pytest.mark.parametrize("labels", [RIGHT.int(), RIGHT[:, None], ONE_HOT.float(), RIGHT.numpy(), RIGHT.tolist()])
def test_a_loader_of_ones_own_gives_labels_of_any_kind(labels):
    images = torch.rand(4, 6)
    reports = []
    trained([(images, labels)], [(images, labels)], report=reports.append)
    assert reports[0].metric in (0.0, 25.0, 50.0, 75.0, 100.0)


def test_arrays_are_inputs_too():
    reports = []
    trained([(np.random.default_rng(0).random((4, 6)).astype(np.float32), RIGHT)], report=reports.append)
    assert [math.isfinite(each.nll) for each in reports] == [True]


class Failing(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        raise ValueError(f"record {index} is gone\nfor ever")


class Endless(IterableDataset):
    def __iter__(self):
        return iter([(torch.rand(6), 1)] * 8)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([(torch.rand(4, 6), RIGHT + 1)], "Batch 0 of epoch 0 holds label 3; labels must be 0 to 2"),
        ([part(), (torch.rand(4, 6), RIGHT - 1)], "Batch 1 of epoch 0 holds label -1"),
        ([(torch.rand(4, 6), RIGHT.float())], "labels of type float32"),
        ([(torch.rand(4, 6), RIGHT[:2])], "4 inputs and labels of shape"),
        ([(torch.rand(4, 6, dtype=torch.float64), RIGHT)], r"type float64 .*raised RuntimeError"),
        ([(torch.rand(4, 5), RIGHT)], r"given inputs of shape \(4, 5\) .*raised RuntimeError"),
        ([(torch.full((4, 6), float("nan")), RIGHT)], "loss became nan .* whose inputs hold NaN"),
        ([{"x": 1}], "Batch 0 of epoch 0 is of type dict"),
        ([(torch.rand(4, 6),)], "is of type tuple of 1"),
        ([(torch.rand(4, 6), RIGHT, 1)], "is of type tuple of 3"),
        ([("text", RIGHT)], "inputs of type str"),
        ([(torch.rand(0, 6), RIGHT[:0])], r"inputs of shape \(0, 6\)"),
        ([], "The training loader is empty"),
        (7, "The training loader is of type int"),
        (None, "The training loader is of type NoneType"),
        (iter([part()]), "has no length"),
        (DataLoader(Failing(), 2, num_workers=1), r"training loader raised ValueError: record \d is gone"),
        (DataLoader(Endless(), 4), "has no length"),
        (DataLoader(Failing(), 2), r"training loader raised ValueError: record \d is gone"),
        (DataLoader(TensorDataset(*part()), 8, drop_last=True), "The training loader is empty"),
    ],
)
def test_a_loader_that_gives_anything_else_is_refused_in_one_line(loader, message):
    with pytest.raises(InputError, match=message) as caught:
        trained(loader)
    assert "\n" not in str(caught.value)


class Once:
    """Used up after an epoch."""

    def __init__(self):
        self.batches = iter([part(), part()])

    def __len__(self):
        return 2

    def __iter__(self):
        return self.batches


def test_a_loader_that_is_used_up_does_not_end_training_in_silence():
    with pytest.raises(InputError, match="gave no batch; give one that begins anew"):
        trained(Once(), epochs=2)


def test_labels_are_checked_in_validation_too():
    with pytest.raises(InputError, match="Batch 0 of the validation set holds label 3"):
        trained([part()], [(torch.rand(4, 6), RIGHT + 1)])


class Gives(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.fc, self.change = nn.Linear(6, 3), change

    def forward(self, x):
        return self.change(self.fc(x))


def leaving(_outputs):
    raise SystemExit(3)


def raising(_outputs):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda outputs: (outputs, 1), "gives a tuple"),
        (lambda outputs: {"logits": outputs}, "gives a dict"),
        (lambda outputs: None, "gives a NoneType"),
        (lambda outputs: outputs[:, :, None], r"outputs of shape \(4, 3, 1\)"),
        (lambda outputs: outputs.sum(), r"outputs of shape \(\)"),
        (lambda outputs: outputs[:2], r"outputs of shape \(2, 3\)"),
        (lambda outputs: outputs.argmax(1, keepdim=True), "type int64"),
        (lambda outputs: outputs * float("nan"), "The loss became nan in epoch 0, batch 0"),
        (raising, "raised ZeroDivisionError"),
        (leaving, "raised SystemExit: 3"),
    ],
)
def test_a_network_that_gives_anything_else_is_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        trained([part()], net=Gives(change))
    assert "\n" not in str(caught.value)


def test_a_network_that_is_nan_in_evaluation_only():
    class Sick(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(x) * (1.0 if self.training else float("nan"))

    with pytest.raises(InputError, match="outputs for batch 0 of the validation set are NaN in epoch 0"):
        trained([part()], [part()], net=Sick())
    with pytest.raises(InputError, match="outputs are NaN for examples 0 to 3"):
        error_percent(Sick(), *part())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "'epoch' .*did you mean epochs"),
        ({"epochs": "3"}, "epochs is '3'; it must be a whole number"),
        ({"epochs": True}, "epochs is True"),
        ({"epochs": 10**30}, "epochs were asked for"),
        ({"learning_rate": float("inf")}, "learning rate is inf"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"examples": 0}, "has 0 examples"),
        ({"examples": None}, "no data set with a length"),
    ],
)
def test_settings_of_another_kind_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        trained([part()], **options)


def test_the_error_of_labels_in_a_column_is_that_of_a_row():
    images, _ = part()
    net = network()
    best = net(images).argmax(1)
    assert error_percent(net, images, best[:, None]) == 0.0
    assert error_percent(net, images, best.int()) == 0.0
    with pytest.raises(InputError, match="no examples"):
        error_percent(net, images[:0], best[:0])


def dividing(_gradient):
    raise ZeroDivisionError("no\nsuch")


class Hooked(nn.Module):
    def __init__(self, apart):
        super().__init__()
        self.fc, self.apart = nn.Linear(6, 3), apart
        self.fc.weight.register_hook(dividing)

    def forward(self, x):
        return self.fc(x).detach() if self.apart else self.fc(x)


@pytest.mark.parametrize(("apart", "message"), [(False, "ZeroDivisionError: no"), (True, "RuntimeError: element 0")])
def test_a_gradient_that_fails_is_one_line(apart, message):
    with pytest.raises(InputError, match=rf"gradient of the network, in epoch 0, batch 0, raised {message}") as caught:
        trained([part()], net=Hooked(apart))
    assert "\n" not in str(caught.value)


def test_what_the_trainer_cannot_use_is_refused():
    for options in ({"devices": -3}, {"devices": "x"}, {"strategy": "nope"}):
        with pytest.raises(InputError, match=r"Training cannot use devices .* leave them out"):
            trained([part()], **options)
    with pytest.raises(InputError, match="A Sequential was given to train; give what bayesianize returns"):
        fit(network(), [part()], epochs=1, examples=4)
