"""Weights are found wherever an ONNX model stores them, and the error of its outputs is measured."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from typer.testing import CliRunner

from bayespress import codec
from bayespress.cli.app import app
from bayespress.compress.onnx_outputs import NotMeasuredError, OnnxOutputs, relative_error
from bayespress.compress.onnx_weights import find_weights, read_model
from bayespress.compress.quantize_file import compress_file
from bayespress.errors import CorruptFileError, InputError

FLOAT = TensorProto.FLOAT


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def constant(name, values):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values, name))


def model(nodes, initializers=(), *, inputs=(("x", ("n", 8)),), kind=FLOAT, sparse=(), functions=(), imports=()):
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in initializers],
        sparse_initializer=list(sparse),
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), *imports]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)


def product(weight="w", x="x", y="y"):
    return helper.make_node("MatMul", [x, weight], [y])


def sparse_tensor(dense, name):
    (positions,) = np.nonzero(dense.reshape(-1))
    values = numpy_helper.from_array(dense.reshape(-1)[positions], name)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(positions.astype(np.int64), "i"), dense.shape)


def branches():
    """An If node whose condition depends on the input; each branch holds a weight, one of them as a Constant node."""
    info = [helper.make_tensor_value_info("z", FLOAT, None)]
    graphs = [
        helper.make_graph([product("w", y="z")], "a", [], info, [numpy_helper.from_array(random(8, 6), "w")]),
        helper.make_graph([constant("w", random(8, 6, seed=1)), product("w", y="z")], "b", [], info),
    ]
    return model(
        [
            helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
            constant("zero", np.float32(0)),
            helper.make_node("Greater", ["s", "zero"], ["c"]),
            helper.make_node("If", ["c"], ["y"], name="choose", then_branch=graphs[0], else_branch=graphs[1]),
        ]
    )


def with_function():
    body = helper.make_function(
        "own", "Dense", ["x"], ["y"], [constant("w", random(8, 6)), product()], [helper.make_opsetid("", 17)]
    )
    node = helper.make_node("Dense", ["x"], ["y"], domain="own")
    return model([node], functions=[body], imports=[helper.make_opsetid("own", 1)])


def sparse_model():
    dense = np.where(random(8, 6, seed=3) > 0, random(8, 6), 0).astype(np.float32)
    return model([product()], sparse=[sparse_tensor(dense, "w")])


CASES = {
    "initializer": (model([product()], [("w", random(8, 6))]), {"w"}),
    "constant": (model([constant("w", random(8, 6)), product()]), {"w"}),
    "sparse": (sparse_model(), {"w"}),
    "branches": (branches(), {"zero", "choose.then_branch/w", "choose.else_branch/w"}),
    "function": (with_function(), {"Dense/w"}),
    "floats": (
        model([helper.make_node("Constant", [], ["w"], value_floats=random(8).tolist()),
               helper.make_node("Mul", ["x", "w"], ["y"])]),
        {"w"},
    ),
    "double": (
        model([helper.make_node("Cast", ["x"], ["d"], to=TensorProto.DOUBLE), product(x="d", y="e"),
               helper.make_node("Cast", ["e"], ["y"], to=FLOAT)], [("w", random(8, 6).astype(np.float64))]),
        {"w"},
    ),
    "half": (
        model([helper.make_node("Cast", ["w"], ["v"], to=FLOAT), product("v")],
              [("w", random(8, 6).astype(np.float16))]),
        {"w"},
    ),
    "integer inputs": (
        model([helper.make_node("Gather", ["w", "x"], ["y"])], [("w", random(50, 16))],
              inputs=(("x", ("n", "t")),), kind=TensorProto.INT64),
        {"w"},
    ),
    "inputs larger than the kernel": (
        model([helper.make_node("Conv", ["x", "w"], ["y"])], [("w", random(4, 1, 5, 5))],
              inputs=(("x", ("n", 1, "h", "w_")),)),
        {"w"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_weights_are_found_and_outputs_stay_within_the_tolerance(tmp_path, name):
    built, names = CASES[name]
    onnx.save(built, tmp_path / "net.onnx")
    found = compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)
    decoded = {tensor.name: tensor.values() for tensor in codec.decode((tmp_path / "net.bpz").read_bytes())}
    assert set(decoded) == names == set(dict(found.errors))
    assert found.outputs_error is not None, found.notes
    assert found.outputs_error <= 0.02
    again = read_model(tmp_path / "net.onnx")
    for weight in find_weights(again):
        exact = weight.array().astype(np.float64)
        assert np.linalg.norm(decoded[weight.name] - exact) <= 0.02 * np.linalg.norm(exact)
        weight.replace(decoded[weight.name])
    assert OnnxOutputs(read_model(tmp_path / "net.onnx")).error(again) == pytest.approx(found.outputs_error)


def test_weights_are_rounded_finer_if_the_outputs_need_it(tmp_path):
    """y = x A (A^-1 + small): the products cancel, and the error of outputs is far above that of the weights."""
    a = random(8, 8)
    b = (np.linalg.inv(a.astype(np.float64)) * 1.0).astype(np.float32)
    nodes = [product("a", y="h"), product("b", "h", "i"), helper.make_node("Sub", ["i", "x"], ["d"]),
             helper.make_node("Mul", ["x", "t"], ["s"]), helper.make_node("Add", ["d", "s"], ["y"])]  # fmt: skip
    onnx.save(model(nodes, [("a", a), ("b", b), ("t", np.float32(1e-2))]), tmp_path / "net.onnx")
    found = compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)
    assert found.outputs_error <= 0.02
    assert found.tolerance < 0.002
    assert any("so that outputs stay within the tolerance of 0.02" in note for note in found.notes)


def test_notes_outputs_that_cannot_meet_the_tolerance(tmp_path):
    """x A A^-1 - x is the rounding error of float64, and 10^8 times that with weights in float32."""
    nodes = [helper.make_node("Cast", ["x"], ["d"], to=TensorProto.DOUBLE), product("a", "d", "h"),
             product("b", "h", "i"), helper.make_node("Sub", ["i", "d"], ["e"]),
             helper.make_node("Cast", ["e"], ["y"], to=FLOAT)]  # fmt: skip
    a = random(8, 8).astype(np.float64)
    onnx.save(model(nodes, [("a", a), ("b", np.linalg.inv(a))]), tmp_path / "net.onnx")
    found = compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.001)
    assert found.outputs_error > 0.001
    assert any("above the tolerance of 0.001" in note for note in found.notes)


@pytest.mark.parametrize(
    ("built", "reason"),
    [
        (model([helper.make_node("Unknown", ["x", "w"], ["y"])], [("w", random(8, 6))]), "rejects the model"),
        (model([helper.make_node("RandomNormalLike", ["x"], ["r"]), product(x="r")], [("w", random(8, 6))]),
         "different outputs each time"),
        (model([product()], [("w", random(8, 6))], kind=TensorProto.STRING), "rejects the model"),
    ],
    ids=["operator", "random", "text"],
)  # fmt: skip
def test_notes_models_that_cannot_be_measured(tmp_path, built, reason):
    onnx.save(built, tmp_path / "net.onnx")
    found = compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)
    assert found.outputs_error is None
    assert any("Only the error of the weights was measured" in note and reason in note for note in found.notes)


def test_reads_external_data_in_the_models_folder(tmp_path):
    onnx.save(model([product()], [("w", random(8, 200))]), tmp_path / "net.onnx",
              save_as_external_data=True, location="net.data", size_threshold=0)  # fmt: skip
    found = compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)
    assert 0.0 < found.outputs_error <= 0.02


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link", "", "absent"])
def test_rejects_external_data_outside_the_folder(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(4 * 8 * 6))
    (folder / "link").symlink_to(tmp_path / "secret")
    built = model([product()], [("w", random(8, 6))])
    tensor = built.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (folder / "net.onnx").write_bytes(built.SerializeToString())
    with pytest.raises(InputError, match=r"Tensor w of .*net.onnx refers to .*(outside the model|does not exist)"):
        compress_file(folder / "net.onnx", tmp_path / "net.bpz", 0.02)
    assert not (tmp_path / "net.bpz").exists()


def test_rejects_weights_in_other_attributes_by_name(tmp_path):
    node = helper.make_node("Own", ["x"], ["y"], name="layer", table=numpy_helper.from_array(random(8, 6), "t"))
    onnx.save(model([node]), tmp_path / "net.onnx")
    with pytest.raises(InputError, match="Node layer of type Own holds the tensor table as an attribute"):
        compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)


def test_indices_that_float32_cannot_hold_stay_in_the_graph(tmp_path):
    nodes = [helper.make_node("Slice", ["x", "start", "end"], ["h"]), product(x="h")]
    tensors = [("w", random(8, 6)), ("start", np.array([0])), ("end", np.array([2**63 - 1]))]
    onnx.save(model(nodes, tensors), tmp_path / "net.onnx")
    found = compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)
    assert set(dict(found.errors)) == {"w", "start"}
    assert any(note.startswith("Left out, with text") and note.endswith(": end.") for note in found.notes)


def test_rejects_a_model_without_weights_and_a_file_without_a_model(tmp_path):
    onnx.save(model([helper.make_node("Relu", ["x"], ["y"])]), tmp_path / "net.onnx")
    with pytest.raises(InputError, match="holds no tensors"):
        compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)
    (tmp_path / "net.onnx").write_bytes(b"no model")
    with pytest.raises(CorruptFileError, match="not a complete ONNX model"):
        compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)


@pytest.mark.filterwarnings("ignore")  # the older exporter, which needs no other package, warns of its removal
def test_the_command_compresses_an_exported_network(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)).eval()
    network[1].running_var.copy_(torch.logspace(-3, 1.6, 8))
    torch.onnx.export(
        network, (torch.randn(1, 3, 8, 8),), tmp_path / "net.onnx", dynamo=False, do_constant_folding=False
    )
    done = CliRunner().invoke(
        app, ["compress", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "n.bpz"), "--tolerance", "0.03", "--json"]
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert 0.0 < report["outputs_error"] <= 0.03
    assert all("so that outputs stay within" in note for note in report["notes"])


def test_relative_error():
    ones, nothing = np.ones(4, np.float32), np.zeros(4, np.float32)
    assert relative_error([ones, nothing], [ones * 1.5, nothing]) == pytest.approx(0.5)
    assert relative_error([nothing], [ones]) == float("inf")
    assert relative_error([ones], [ones[:2]]) == float("inf")
    assert relative_error([ones * np.nan], [ones]) == float("inf")
    assert relative_error([np.arange(4)], [np.array([0, 1, 2, 9])]) == 0.25


def test_without_onnx_runtime(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(NotMeasuredError, match="not installed"):
        OnnxOutputs(CASES["initializer"][0])


def truncated(built):
    built.graph.initializer[0].raw_data = b"123"
    return built


def of_unknown_type(built):
    built.graph.initializer[0].data_type = 99
    return built


def out_of_range(built):
    built.graph.sparse_initializer[0].indices.CopyFrom(numpy_helper.from_array(np.array([10**6]), "i"))
    return built


def immense(built):
    built.graph.sparse_initializer[0].dims[:] = [10**9, 10**9]
    return built


@pytest.mark.parametrize(
    "built",
    [
        truncated(model([product()], [("w", random(8, 6))])),
        of_unknown_type(model([product()], [("w", random(8, 6))])),
        out_of_range(sparse_model()),
        immense(sparse_model()),
    ],
    ids=["truncated", "type", "indices", "immense"],
)
def test_rejects_broken_tensors_by_name(tmp_path, built):
    (tmp_path / "net.onnx").write_bytes(built.SerializeToString())
    with pytest.raises(CorruptFileError, match="Tensor w of the ONNX model cannot be read"):
        compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)


def test_finds_weights_in_the_body_of_a_loop(tmp_path):
    """y = x W W W, with the product in the body of a Loop node."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [product("w", "h", "g"), helper.make_node("Identity", ["go"], ["on"])], "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("h", FLOAT, None)],
        [info("on", TensorProto.BOOL, []), info("g", FLOAT, None)],
        [numpy_helper.from_array(random(8, 8), "w")],
    )  # fmt: skip
    loop = helper.make_node("Loop", ["three", "", "x"], ["y"], name="loop", body=body)
    onnx.save(model([loop], [("three", np.array(3))]), tmp_path / "net.onnx")
    found = compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.02)
    assert set(dict(found.errors)) == {"three", "loop.body/w"}
    assert 0.0 < found.outputs_error <= 0.02
