"""Opening a file and decoding some of it."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest

from bayespress import codec
from bayespress.errors import CorruptFileError, InputError


@pytest.fixture
def path(tmp_path, samples):
    path = tmp_path / "net.bpz"
    path.write_bytes(samples[0])
    return path


def test_tensors_are_decoded_on_access(path, samples):
    whole = {tensor.name: tensor for tensor in codec.decode(samples[0])}
    with codec.open(path) as archive:
        assert list(archive) == list(whole)
        assert len(archive) == len(whole)
        for name, tensor in whole.items():
            assert archive.shape(name) == tensor.values().shape
            assert np.array_equal(archive[name].values(), tensor.values())
            assert np.array_equal(archive.array(name), tensor.values())
        assert archive.nonzero("fc.weight") == np.count_nonzero(whole["fc.weight"].levels)
        kept = archive["fc.weight"]
    assert np.array_equal(kept.values(), whole["fc.weight"].values()), "what was decoded outlives the file"
    with pytest.raises(KeyError):
        archive["fc.weight"]


@pytest.mark.parametrize("threads", [1, 4, None])
def test_arrays_come_in_file_order(tmp_path, threads):
    rng = np.random.default_rng(0)
    tensors = [
        codec.QuantizedTensor(f"w{n}", rng.integers(-3, 4, (20 * n + 1, 30)).astype(np.int32), codec.Grid(0.5))
        for n in range(9)
    ]
    (tmp_path / "net.bpz").write_bytes(codec.encode(tensors))
    decoded = codec.open(tmp_path / "net.bpz").arrays(threads)
    assert list(decoded) == [tensor.name for tensor in tensors]
    for tensor in tensors:
        assert np.array_equal(decoded[tensor.name], tensor.values())


def test_threads_share_an_archive(path):
    archive, wrong = codec.open(path), []
    expected = archive.array("fc.weight")

    def work():
        wrong.extend(1 for _ in range(50) if not np.array_equal(archive.array("fc.weight"), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_rejects_invalid_files(tmp_path, samples):
    with pytest.raises(InputError, match=r"missing\.bpz cannot be read \(No such file"):
        codec.open(tmp_path / "missing.bpz")
    with pytest.raises(InputError, match="cannot be read"):
        codec.open(tmp_path)
    for data in (b"", samples[0][:-1], b"BPZ"):
        (tmp_path / "bad.bpz").write_bytes(data)
        with pytest.raises(CorruptFileError):
            codec.open(tmp_path / "bad.bpz")
    (tmp_path / "good.bpz").write_bytes(samples[0])
    with pytest.raises(InputError, match="more than the limit of 3"):
        codec.open(tmp_path / "good.bpz", max_elements=3)


def dense_of(shape, row_pointer, columns, values):
    """The dense matrix of sparse rows, computed by definition."""
    rows = shape[0] if len(shape) > 1 else 1
    matrix = np.zeros((rows, int(np.prod(shape)) // max(1, rows)), dtype=np.float32)
    for row in range(rows if matrix.size else 0):
        for entry in range(row_pointer[row], row_pointer[row + 1]):
            matrix[row, columns[entry]] = values[entry]
    return matrix.reshape(shape)


def test_sparse_rows_of_every_layout(tmp_path, samples):
    layouts = set()
    for data in samples:
        (tmp_path / "net.bpz").write_bytes(data)
        archive = codec.open(tmp_path / "net.bpz")
        for described in codec.layout(data).tensors:
            if described.kind.startswith("raw"):
                with pytest.raises(InputError, match="has no sparse rows"):
                    archive.csr(described.name)
                continue
            row_pointer, columns, values = archive.csr(described.name)
            layouts.add(described.entries)
            assert int(row_pointer[-1]) == len(columns) == described.nonzero
            assert np.array_equal(
                dense_of(described.shape, row_pointer, columns, values), archive.array(described.name)
            )
            for start, end in pairwise(row_pointer):
                assert (np.diff(columns[start:end].astype(int)) > 0).all()
    assert layouts == {"dense", "by row", "running", "adaptive", "adaptive gaps", None}
