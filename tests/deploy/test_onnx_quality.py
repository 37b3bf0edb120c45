"""The graph of `decode` and `bench` has the same operators as the one that torch.onnx.export writes."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import onnx
import pytest
import torch

from bayespress.compress.packed import _export
from bayespress.deploy.program.export import fill_weights, load_program, onnx_graph, parameter_names, plain_onnx
from bayespress.deploy.program.onnx_optimise import optimised, quiet_exporters, rename_values
from bayespress.deploy.verify.sessions import eager_runner, onnx_outputs, onnx_runner, onnx_session, program_function
from zoo import ZOO


def operators(model: bytes) -> Counter:
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


def plainly(network, x) -> bytes:
    """A plain export with torch.onnx.export."""
    buffer = io.BytesIO()
    with quiet_exporters():
        torch.onnx.export(network, (x,), dynamo=True, verbose=False).save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["residual", "depthwise", "cardinal", "strided", "constants"])
def test_the_graph_is_as_good_as_a_plain_export(name, tmp_path):
    network, x = ZOO[name].network(), ZOO[name].inputs(1)
    _export(network, x, tmp_path / "it.pt2")
    program = load_program(tmp_path / "it.pt2")
    weights = {each: program.state_dict[each].numpy() for each in parameter_names(program).values()}
    graph = onnx_graph(program)
    filled = fill_weights(graph, weights)
    plain = plainly(network, x)
    assert operators(filled) == operators(plain) == operators(plain_onnx(program))
    assert "BatchNormalization" not in operators(filled)
    model = onnx.load_from_string(filled)
    assert [value.name for value in model.graph.input] == ["input"]
    assert [value.name for value in model.graph.output] == ["output"]
    assert model.opset_import[0].version == onnx.load_from_string(plain).opset_import[0].version
    with torch.no_grad():
        expected = network(x).numpy()
    outputs = onnx_outputs(onnx_session(filled), x.numpy())
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


class Modern(torch.nn.Module):
    """Blocks of ConvNeXt, MobileNetV3 and a decoder."""

    def __init__(self):
        super().__init__()
        self.wide = torch.nn.Conv2d(2, 6, 3, padding=1)
        self.norm = torch.nn.LayerNorm(6)
        self.up = torch.nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x):
        x = self.norm(self.wide(x).permute(0, 2, 3, 1))
        x = torch.nn.functional.gelu(x) + torch.nn.functional.gelu(x, approximate="tanh")
        return torch.nn.functional.hardswish(self.up(x.permute(0, 3, 1, 2))).mean((2, 3)).relu()


def test_operators_of_onnx_are_not_decomposed(tmp_path):
    torch.manual_seed(3)
    network, x = Modern().eval(), torch.randn(1, 2, 5, 4)
    _export(network, x, tmp_path / "it.pt2")
    program = load_program(tmp_path / "it.pt2")
    weights = {each: program.state_dict[each].numpy() for each in parameter_names(program).values()}
    filled = fill_weights(onnx_graph(program), weights)
    assert operators(filled) == operators(plainly(network, x))
    assert operators(filled) >= Counter(["LayerNormalization", "Gelu", "Gelu", "ConvTranspose", "HardSwish"])
    with torch.no_grad():
        expected = network(x).numpy()
    np.testing.assert_allclose(onnx_outputs(onnx_session(filled), x.numpy()), expected, rtol=1e-4, atol=1e-6)


def test_two_clamps_of_one_value_stay_two_operators():
    """Two clamps of the same value: if their bounds were named after the value, they would be merged."""

    class Clamps(torch.nn.Module):
        def forward(self, x):
            inside = x.clamp(-1, 1)
            parts = [
                inside,
                x.clamp(-0.5, 2).relu(),
                x.relu().clamp(max=0.5),
                x.clamp(1, -1),
                x.clamp(0.25, 3) + inside,
            ]
            parts += [torch.nn.functional.relu6(x), (x * 3).long().clamp(-2, 3).clamp(max=1).float()]
            return torch.cat(parts, 1)

    x = torch.linspace(-4, 4, 33)[None]
    program = torch.export.export(Clamps(), (x,))
    model = onnx_graph(program)
    filled = fill_weights(model, {})
    assert operators(filled)["Clip"] == 7
    assert not {"Max", "Min", "Relu"} & set(operators(filled))
    np.testing.assert_allclose(onnx_outputs(onnx_session(filled), x.numpy()), Clamps()(x).numpy(), rtol=1e-6)
    assert onnx_graph(program) == model


def test_the_optimiser_does_not_change_its_input():
    bounds = [onnx.numpy_helper.from_array(np.float32(bound), name) for name, bound in (("low", 0), ("high", 6))]
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("input", "output")]
    nodes = [onnx.helper.make_node("Max", ["input", "low"], ["between"]),
             onnx.helper.make_node("Min", ["high", "between"], ["output"])]  # fmt: skip
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "clamp", values[:1], values[1:], bounds),
        opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10,
    )  # fmt: skip
    before = model.SerializeToString(deterministic=True)
    made = optimised(model)
    assert [node.op_type for node in made.graph.node] == ["Clip"]
    assert model.SerializeToString(deterministic=True) == before


def test_bound_and_eager_runners_give_the_outputs(tmp_path):
    """Input and output buffers are reused in every call."""
    network, x = ZOO["residual"].network(), ZOO["residual"].inputs(1)
    _export(network, x, tmp_path / "it.pt2")
    program = load_program(tmp_path / "it.pt2")
    with torch.no_grad():
        expected = network(x)
    torch.testing.assert_close(program_function(program)(x), expected)
    torch.testing.assert_close(eager_runner(program, x.numpy())(), expected)
    run = onnx_runner(onnx_session(plain_onnx(program)), x.numpy())
    first = run()
    assert run() is first
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-5)


def test_renaming_reaches_the_graphs_inside_nodes():
    """A value that already has the new name gets another name."""
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["own", "input"], ["sum"])], "inner", [],
        [onnx.helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, [1])],
    )  # fmt: skip
    node = onnx.helper.make_node("If", ["input"], ["output"], then_branch=inner, else_branch=inner)
    graph = onnx.helper.make_graph(
        [node], "outer", [onnx.helper.make_tensor_value_info("own", onnx.TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [1])],
    )  # fmt: skip
    rename_values(graph, {"own": "input"})
    assert [value.name for value in graph.input] == ["input"]
    assert list(graph.node[0].input) == ["value:input"]
    assert list(graph.node[0].attribute[0].g.node[0].input) == ["input", "value:input"]
