"""Names of tensors: their stored bytes, comparison in linear time, and display on one line."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bayespress import codec
from bayespress.codec import reference
from bayespress.codec.names import name_bytes
from bayespress.errors import CorruptFileError, InputError


@pytest.mark.parametrize(
    ("name", "before", "stored"),
    [
        (b"conv1.weight", b"", b"\x06conv1\1"),
        (b"conv1.bias", b"conv1.weight", b"\x51\2"),
        (b"conv2.weight", b"conv1.bias", b"\x42" + b"2\1"),
        (b"w", b"w2", b"\x10"),
        (b"x", b"", b"\x01x"),
        (b"a" * 20, b"", b"\x0f\5" + b"a" * 20),
        (b"a" * 20 + b"c", b"a" * 20 + b"b", b"\xf1\5c"),
        (b"norm.running_mean", b"norm.bias", b"\x41\3"),
    ],
)
def test_names_share_and_abbreviate(name, before, stored):
    assert name_bytes(name, before) == stored


def test_a_network_of_long_names_and_back():
    names = [f"model.layers.{layer}.attention.{part}" for layer in range(12) for part in ("query.weight", "query.bias")]
    tensors = [codec.QuantizedTensor(name, np.zeros(3, dtype=np.int32), codec.Grid(0.5)) for name in names]
    data = codec.encode(tensors)
    assert [tensor.name for tensor in codec.decode(data)] == names
    assert [tensor.name for tensor in reference.decode(data)] == names
    assert codec.layout(data).by_stream()["name"] < 15 * len(names)


def zeros(names):
    return [codec.QuantizedTensor(name, np.zeros(1, dtype=np.int32), codec.Grid(0.5)) for name in names]


def test_many_long_names_open_in_linear_time(tmp_path):
    """4096 names with 250 bytes in common took seconds when each was compared with all before it."""
    path, took = tmp_path / "net.bpz", {}
    for count in (512, 4096):
        path.write_bytes(codec.encode(zeros(f"{'p' * 250}{index:05x}" for index in range(count)), seekable=False))
        rounds = []
        for _ in range(5):
            start = time.perf_counter()
            archive = codec.open(path)
            rounds.append(time.perf_counter() - start)
        assert len(archive) == count
        took[count] = min(rounds)
    assert took[4096] < max(0.2, 24 * took[512])


@pytest.mark.parametrize("count", [2, 256, 257, 512, 700])
def test_a_repeated_name_is_found_wherever_it_is(build, count):
    records = [build.record(name=b"%04d" % index, nonzero=0) for index in range(count)]
    assert len(codec.decode(build.file(*records))) == count
    for first in {0, (count - 1) // 2, max(0, count - 257), count - 2}:
        for decode in (codec.decode, reference.decode):
            with pytest.raises(CorruptFileError):
                decode(build.file(*records[:-1], build.record(name=b"%04d" % first, nonzero=0)))


@pytest.mark.parametrize(
    "pair", [("layer48001.weight", "layer53360.weight"), ("layer68177.weight", "layer77676.weight")]
)
def test_different_names_with_equal_fingerprints_are_accepted(pair):
    """Their SipHash-2-4 under a key of zeros ends in the same 32 bits."""
    data = codec.encode(zeros(["a", *pair, "b"]))
    assert [tensor.name for tensor in codec.decode(data)] == ["a", *pair, "b"]


@pytest.mark.parametrize("name", ["a\x7fb", "a\x9b31mb", "a\u202eb", "a\u2028b"])
def test_names_with_control_characters_are_kept_and_shown_escaped(tmp_path, build, name):
    data = build.file(build.record(name=name.encode(), nonzero=0), build.record(name=b"v", nonzero=0))
    (tmp_path / "net.bpz").write_bytes(data)
    archive = codec.open(tmp_path / "net.bpz")
    assert list(archive) == [name, "v"]
    assert archive[name].name == name
    bad = build.file(build.record(name=name.encode(), nonzero=0, value_map=bytes(4)))
    for decode in (codec.decode, reference.decode):
        with pytest.raises(CorruptFileError) as caught:
            decode(bad)
        assert name not in str(caught.value)
        assert str(caught.value).isprintable()
    raw = codec.RawTensor(name, np.float32([np.inf]))
    with pytest.raises(InputError) as refused:
        codec.encode([raw])
    assert str(refused.value).isprintable()


def test_sharing_less_is_tried_only_where_it_can_be_shorter():
    """The encoder looks back as far as an abbreviation reaches; a longer look finds nothing shorter."""
    before = b"encoder.layer.weight.num_batches_tracked"
    for name in (b"encoder.layer.weight.num_batches_trackedx", b"encoder.layer.weight.num_batches_tracke"):
        assert len(name_bytes(name, before)) <= 1 + 1 + 1 + 22
    assert name_bytes(b"conv.weight", b"conv.we") == b"\x41\1"
