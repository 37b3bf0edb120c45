"""The stages of the storage scheme of Han et al., compared with numbers computed by hand."""

from __future__ import annotations

import json

import numpy as np
from typer.testing import CliRunner

from bayespress import codec
from bayespress.cli.app import app


def test_a_matrix_computed_by_hand():
    """Two rows of 70: 7 at columns 3 and 67 of the first, 9 at column 40 of the second."""
    levels = np.zeros((2, 70), dtype=np.int32)
    levels[0, [3, 67]], levels[1, 40] = 7, 9
    (sizes,) = codec.han_sizes([codec.QuantizedTensor("w", levels, codec.Grid(1.0))])
    # p = 5 tells distances to 31. Those are 3, 64 and 40: none, two and one filler.
    assert (sizes.nonzero, sizes.fillers, sizes.index_bits) == (3, 3, 5)
    assert sizes.rate == 140 / (2 * 3 + 3)
    assert sizes.original == 140 * 32
    assert sizes.rows == (3 + 3 + 3) * 32
    assert sizes.a1 == 6 * 32 + 3 * 2  # three pointers of two bits
    assert sizes.a2 == 6 * (32 + 5) + 3 * 2  # six entries with their fillers
    assert sizes.a3 == 6 * (2 + 5) + 3 * 32 + 3 * 2  # 7, 9 and the fillers' 0
    # Distances 3, 31, 31, 2, 31, 9: codes of 1, 2, 3, 3 bits. Values 0 three times, 7 twice, 9: of 1, 2, 2 bits.
    assert sizes.huffman == (3 * 1 + 2 + 3 + 3) + (3 * 1 + 2 * 2 + 2) + 3 * 32 + 3 * 2


def test_convolutions_have_wider_indices_and_vectors_none():
    kernel = np.zeros((4, 3, 3, 3), dtype=np.int32)
    kernel[1, 2] = 5
    bias = codec.QuantizedTensor("b", np.ones(4, dtype=np.int32), codec.Grid(1.0))
    empty = codec.QuantizedTensor("z", np.zeros((4, 4), dtype=np.int32), codec.Grid(1.0))
    raw = codec.RawTensor("r", np.ones((4, 4), dtype=np.float32))
    (sizes,) = codec.han_sizes([bias, empty, raw, codec.QuantizedTensor("w", kernel, codec.Grid(1.0))])
    assert (sizes.name, sizes.index_bits, sizes.fillers) == ("w", 8, 0)
    assert codec.han_sizes([bias]) == []


def test_the_command(tmp_path):
    levels = np.where(np.random.default_rng(0).random((30, 90)) < 0.05, 3, 0).astype(np.int32)
    tensor = codec.QuantizedTensor("fc.weight", levels, codec.Grid(0.5))
    (tmp_path / "w.bpz").write_bytes(codec.encode([tensor]))
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "w.bpz"), "--han"], catch_exceptions=False)
    assert "A.2" in shown.output
    assert "r_p" in shown.output
    plain = CliRunner().invoke(app, ["inspect", str(tmp_path / "w.bpz"), "--han", "--json"], catch_exceptions=False)
    (sizes,) = json.loads(plain.stdout)["han"]
    assert sizes["huffman"] == codec.han_sizes([tensor])[0].huffman
    assert "han" not in json.loads(CliRunner().invoke(app, ["inspect", str(tmp_path / "w.bpz"), "--json"]).stdout)


def test_the_command_on_a_file_of_vectors(tmp_path):
    tensors = [
        codec.RawTensor("b", np.ones(4, np.float32)),
        codec.QuantizedTensor("s", np.ones((), np.int32), codec.Grid(1.0)),
    ]
    (tmp_path / "w.bpz").write_bytes(codec.encode(tensors))
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "w.bpz"), "--han"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "as Han et al." in shown.output
    plain = CliRunner().invoke(app, ["inspect", str(tmp_path / "w.bpz"), "--han", "--json"], catch_exceptions=False)
    assert json.loads(plain.stdout)["han"] == []
