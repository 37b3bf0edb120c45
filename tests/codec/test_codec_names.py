"""Names of tensors: how few bytes they take."""

from __future__ import annotations

import numpy as np
import pytest

from bayespress import codec
from bayespress.codec import reference
from bayespress.codec.names import name_bytes


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
