"""Built-in networks, the user's own, and the data sets."""

from __future__ import annotations

import gzip
import sys

import pytest
import torch

from bayespress.errors import CorruptFileError, InputError
from bayespress.train.bayesian import bayesianize
from bayespress.train.data import load_data
from bayespress.train.models import build_model


@pytest.mark.parametrize(
    ("name", "parameters", "shape"),
    [
        ("lenet-300-100", 266_610, (1, 28, 28)),
        ("lenet-5-caffe", 431_080, (1, 28, 28)),
        ("mlp-1200", 2_395_210, (1, 28, 28)),
        ("vgg", 14_991_946, (3, 32, 32)),
        ("wrn-16-4", 2_748_890, (3, 32, 32)),
    ],
)
def test_built_in_networks_have_the_published_size(name, parameters, shape):
    network = build_model(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network(torch.rand(2, *shape)).shape == (2, 10)
    net = bayesianize(network)
    assert all("norm" in parameter for parameter in net.deterministic())
    assert net.train()(torch.rand(2, *shape)).shape == (2, 10)


def test_a_users_network_is_found_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "mynet_for_test.py").write_text(
        "from torch import nn\ndef net(width=4):\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, width))\n"
        "def wrong():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert build_model("mynet_for_test:net", {"width": 7})[1].out_features == 7
    for name, arguments, message in [
        ("mynet_for_test:net", {"depth": 2}, "cannot be built with arguments"),
        ("mynet_for_test:wrong", {}, "gave a int"),
        ("mynet_for_test:missing", {}, "no callable 'missing'"),
        ("no_such_module_here:net", {}, "cannot be imported"),
        (":net", {}, "Importing the module '' raised ValueError"),
        ("lenet-6", {}, "no model 'lenet-6'"),
    ]:
        with pytest.raises(InputError, match=message):
            build_model(name, arguments)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def net(:", "raised SyntaxError"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "raised SystemExit"),
        ("import no_such_module_at_all", "cannot be imported .No module named 'no_such_module_at_all'"),
        ("def net():\n    raise SystemExit(0)", "The model broken_for_test:net raised SystemExit"),
    ],
)
def test_a_users_module_that_fails_is_told_in_a_sentence(tmp_path, monkeypatch, code, message):
    (tmp_path / "broken_for_test.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_for_test", raising=False)
    for load, what in ((build_model, ""), (load_data, "" if "def net():" not in code else "broken_for_test:net")):
        with pytest.raises(InputError, match=what or message):
            load("broken_for_test:net")


def test_digits_are_split_once_and_for_all():
    data = load_data("digits")
    assert data.train.inputs.shape == (1437, 1, 28, 28)
    assert data.test.inputs.shape == (360, 1, 28, 28)
    assert data.train.inputs.dtype == torch.float32
    assert 0.0 <= float(data.train.inputs.min()) <= float(data.train.inputs.max()) <= 1.0
    assert torch.equal(data.test.targets, load_data("digits").test.targets)
    assert torch.bincount(data.test.targets).min() >= 34


IDX = {
    "train-images-idx3-ubyte": (60000, 28, 28),
    "train-labels-idx1-ubyte": (60000,),
    "t10k-images-idx3-ubyte": (10000, 28, 28),
    "t10k-labels-idx1-ubyte": (10000,),
}


def write_idx(folder, *, zipped=True, change=None):
    """MNIST-shaped files: every byte 7."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape in IDX.items():
        size = 1
        for extent in shape:
            size *= extent
        data = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + b"\7" * size
        if change and name in change:
            data = change[name](data)
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, 1))
        else:
            (folder / name).write_bytes(data)


def test_mnist_is_read_from_its_folder_zipped_or_not(tmp_path, monkeypatch):
    write_idx(tmp_path / "mnist")
    data = load_data("mnist", tmp_path)
    assert data.train.inputs.shape == (60000, 1, 28, 28)
    assert float(data.test.inputs[0, 0, 0, 0]) == pytest.approx(7 / 255)
    write_idx(tmp_path / "plain", zipped=False)
    monkeypatch.setenv("BAYESPRESS_DATA", str(tmp_path / "plain"))
    assert int(load_data("mnist").test.targets[5]) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "not the IDX file"),
        (lambda data: data + b"x", "not the IDX file"),
        (lambda data: b"PK" + data[2:], "not the IDX file"),
        (lambda data: data[:-1] + b"\x0b", "label 11"),
    ],
)
def test_a_changed_idx_file_is_refused(tmp_path, change, message):
    write_idx(tmp_path, zipped=False, change={"t10k-labels-idx1-ubyte": change})
    with pytest.raises(CorruptFileError, match=message):
        load_data("mnist", tmp_path)


def test_a_cut_gzip_file_is_refused(tmp_path):
    write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CorruptFileError, match="not a whole gzip file"):
        load_data("mnist", tmp_path)


def test_a_gzip_file_that_swells_and_one_that_is_missing_are_refused(tmp_path):
    write_idx(tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(bytes(1 << 26), 9))
    with pytest.raises(CorruptFileError, match="not the IDX file of shape"):
        load_data("mnist", tmp_path)
    labels.unlink()
    with pytest.raises(InputError, match=r"There is no data file at .*t10k-labels"):
        load_data("mnist", tmp_path)


def test_missing_data_says_where_it_looked(tmp_path):
    with pytest.raises(InputError, match="train-images-idx3-ubyte"):
        load_data("mnist", tmp_path)
    with pytest.raises(InputError, match="no data set 'imagenet'"):
        load_data("imagenet")
