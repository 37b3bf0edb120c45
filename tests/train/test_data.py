"""Pictures, published archives, data of one's own, and fetching: what is read, and what is refused."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import pickle
import tarfile
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from bayespress.errors import CorruptFileError, InputError
from bayespress.train.data import DataSet, idx, load_data


def write_pictures(folder, *, size=(6, 5), mode="RGB", classes=("cat", "dog"), parts=("train", "test")):
    rng = np.random.default_rng(0)
    for part in parts:
        for label in classes:
            (folder / part / label).mkdir(parents=True)
            for number in range(2 if part == "train" else 1):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).convert(mode).save(folder / part / label / f"{number}.png")


def pack(folder, path):
    with tarfile.open(path, "w:xz") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.add(file, f"pictures/{file.relative_to(folder)}", recursive=False)
    return path


def test_a_folder_of_pictures_and_a_tar_of_it_are_the_same(tmp_path):
    write_pictures(tmp_path / "folder")
    data = load_data(f"folder:{tmp_path / 'folder'}")
    assert data.train.inputs.shape == (4, 3, 5, 6)
    assert data.test.targets.tolist() == [0, 1]
    assert data.labels == ("cat", "dog")
    first = np.asarray(Image.open(tmp_path / "folder" / "train" / "cat" / "0.png"))
    np.testing.assert_allclose(data.train.inputs[0].numpy(), first.transpose(2, 0, 1) / np.float32(255))
    packed = load_data(f"folder:{pack(tmp_path / 'folder', tmp_path / 'p.tar.xz')}")
    assert torch.equal(packed.train.inputs, data.train.inputs)
    assert torch.equal(packed.test.targets, data.test.targets)


def test_grey_pictures_have_one_channel(tmp_path):
    write_pictures(tmp_path, mode="L")
    assert load_data(f"folder:{tmp_path}").train.inputs.shape == (4, 1, 5, 6)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda f: (f / "train" / "cat" / "0.png").write_bytes(b"x"), CorruptFileError, r"cat/0\.png cannot be read"),
        (
            lambda f: Image.new("RGB", (9, 9)).save(f / "train" / "dog" / "9.png"),
            InputError, r"pictures of \(5, 6\) and of \(9, 9\) pixels",
        ),
        (
            lambda f: ((f / "test" / "eel").mkdir(), Image.new("RGB", (6, 5)).save(f / "test" / "eel" / "0.png")),
            InputError, "class 'eel' in test/ and not in train/",
        ),
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_used(tmp_path, spoil, error, message):
    write_pictures(tmp_path)
    spoil(tmp_path)
    with pytest.raises(error, match=message):
        load_data(f"folder:{tmp_path}")


def test_rejects_invalid_folders(tmp_path):
    with pytest.raises(InputError, match=r"no pictures in train/CLASS/"):
        load_data(f"folder:{tmp_path}")
    write_pictures(tmp_path, parts=("train",))
    with pytest.raises(InputError, match=r"no pictures in test/CLASS/"):
        load_data(f"folder:{tmp_path}")
    with pytest.raises(CorruptFileError, match="is no folder and no sound tar archive"):
        load_data(f"folder:{tmp_path / 'missing'}")


def write_cifar(folder, change=lambda fields: fields):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        fields = {b"data": rng.integers(0, 256, (4, 3072), np.uint8), b"labels": [0, 3, 9, 1]}
        (folder / name).write_bytes(pickle.dumps(change(fields), protocol=2))


def test_cifar10_from_its_batches_and_their_archive(tmp_path):
    write_cifar(tmp_path / "cifar10" / "cifar-10-batches-py")
    data = load_data("cifar10", tmp_path)
    assert data.train.inputs.shape == (20, 3, 32, 32)
    assert data.test.targets.tolist() == [0, 3, 9, 1]
    (tmp_path / "archive").mkdir()
    with tarfile.open(tmp_path / "archive" / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cifar10" / "cifar-10-batches-py", "cifar-10-batches-py")
    assert torch.equal(load_data("cifar10", tmp_path / "archive").train.inputs, data.train.inputs)


def test_cifar10_from_pictures(tmp_path):
    write_pictures(tmp_path / "cifar10", size=(32, 32))
    assert load_data("cifar10", tmp_path).train.inputs.shape == (4, 3, 32, 32)
    (tmp_path / "tar").mkdir()
    pack(tmp_path / "cifar10", tmp_path / "tar" / "cifar10-jpeg.tar.xz")
    assert load_data("cifar10", tmp_path / "tar").train.inputs.shape == (4, 3, 32, 32)


class Evil:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: Evil(),
        lambda fields: {},
        lambda fields: fields | {b"data": np.zeros((4, 7), np.uint8)},
        lambda fields: fields | {b"labels": [0, 1, 2]},
        lambda fields: fields | {b"labels": [0, 1, 2, 10]},
        lambda fields: fields | {b"labels": [0, 1, 2, -1]},
        lambda fields: fields | {b"labels": "abcd"},
        lambda fields: fields | {b"data": np.zeros((0, 3072), np.uint8), b"labels": []},
        lambda fields: [fields],
    ],
    ids=["a program", "no fields", "another shape", "few labels", "label 10", "label -1", "text", "empty", "a list"],
)
def test_rejects_an_invalid_batch_without_training(tmp_path, change, capsys):
    write_cifar(tmp_path / "cifar-10-batches-py", change)
    with pytest.raises(CorruptFileError, match="data_batch_1 is not a batch of CIFAR-10"):
        load_data("cifar10", tmp_path)
    assert capsys.readouterr().out == ""


OWN = """
import torch
def tensors():
    return torch.rand(6, 4), torch.arange(6) % 3, torch.rand(3, 4), torch.arange(3)
def wrong():
    return 7
def nan():
    return torch.full((2, 4), float("nan")), torch.zeros(2), torch.rand(1, 4), torch.zeros(1)
"""


def test_data_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own_data_for_test.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    data = load_data("own_data_for_test:tensors")
    assert data.train.inputs.shape == (6, 4)
    assert data.labels == ("0", "1", "2")
    for name, message in [
        ("own_data_for_test:wrong", "gave a int; a DataSet or four tensors"),
        ("own_data_for_test:nan", "holds NaN or infinite inputs"),
        ("own_data_for_test:missing", "no callable 'missing'"),
        ("no_such_data_module:x", "Data set no_such_data_module:x: module no_such_data_module cannot be imported"),
        ("minst", "did you mean mnist"),
    ]:
        with pytest.raises(InputError, match=message):
            load_data(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_targets": torch.tensor([0, 2])}, "training set of it holds label 2; labels must be 0 to 1"),
        ({"test_targets": torch.tensor([-1])}, "test set of it holds label -1"),
        ({"train_inputs": torch.zeros(0, 4), "train_targets": torch.zeros(0)}, "training set of it is empty"),
        ({"test_inputs": torch.zeros(1, 5)}, r"test set of it has inputs of shape \(5,\)"),
        ({"train_targets": torch.tensor([0])}, r"2 inputs and labels of shape \(1,\)"),
    ],
)
def test_data_that_cannot_be_trained_on(change, message):
    fields = {
        "train_inputs": torch.zeros(2, 4), "train_targets": torch.tensor([0, 1]), "test_inputs": torch.zeros(1, 4),
        "test_targets": torch.tensor([1]),
    }  # fmt: skip
    parts = fields | change
    train, test = ((parts[f"{part}_inputs"], parts[f"{part}_targets"]) for part in ("train", "test"))
    with pytest.raises(InputError, match=message):
        DataSet("it", train, test, labels=("a", "b"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server with Fashion-MNIST-shaped files, and a cache of our own."""
    root = tmp_path / "served"
    root.mkdir()
    sums = []
    for name, shape in idx._FILES.items():
        body = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + bytes(np.prod(shape))
        data = gzip.compress(body, 1, mtime=0)
        (root / f"{name}.gz").write_bytes(data)
        sums.append(hashlib.md5(data, usedforsecurity=False).hexdigest())
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=root)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BAYESPRESS_DATA", raising=False)
    source = idx._Source(f"http://127.0.0.1:{serving.server_port}/", tuple(sums), idx._FASHION.labels)
    monkeypatch.setattr(idx, "_FASHION", source)
    yield serving, root
    serving.shutdown()
    serving.server_close()


def test_files_are_fetched_once(server):
    _, root = server
    data = load_data("fashion-mnist")
    assert data.train.inputs.shape == (60000, 1, 28, 28)
    assert data.labels[9] == "Ankle boot"
    for file in root.iterdir():
        file.unlink()
    assert load_data("fashion-mnist").train.targets.shape == (60000,)


def test_a_fetched_file_of_another_checksum_is_refused(server):
    _, root = server
    (root / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte\.gz of fashion-mnist cannot be fetched"):
        load_data("fashion-mnist")


def test_without_a_network_one_sentence_says_what_to_do(server, monkeypatch):
    serving, _ = server
    serving.shutdown()
    serving.server_close()
    with pytest.raises(InputError, match="fetch it by hand and name its folder by --data-dir or BAYESPRESS_DATA"):
        load_data("fashion-mnist")


def test_rejects_invalid_archive(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"x")
    with pytest.raises(CorruptFileError, match="is not CIFAR-10's archive"):
        load_data("cifar10", tmp_path)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("other"), io.BytesIO())
    with pytest.raises(CorruptFileError, match="is not CIFAR-10's archive"):
        load_data("cifar10", tmp_path)
