"""Each kernel of the package compared with PyTorch, on unusual shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bayespress.deploy.compile.cost import KernelDecision, choose
from bayespress.deploy.compile.kernels.blocked import Registers, blocked_convolution, pack, packed_shape, tile_for
from bayespress.deploy.compile.kernels.epilogue import Epilogue
from bayespress.deploy.compile.kernels.geometry import ConvolutionGeometry, Window
from bayespress.deploy.compile.kernels.pool import max_pool
from bayespress.deploy.compile.kernels.sparse import Entries, sparse_convolution, sparse_dense
from bayespress.deploy.compile.layers import Layer, Stored
from bayespress.deploy.compile.lower import tvm_target
from bayespress.deploy.compile.targets import target_named

tvm = pytest.importorskip("tvm")
pytestmark = [pytest.mark.xdist_group("kernels"), pytest.mark.slow]
REGISTERS = (Registers(16, 32), Registers(8, 16), Registers(4, 32), Registers(4, 16), Registers(1, 32))
CLIPS = (None, (0.0, math.inf), (-1.0, 1.0))


def run(function, *arrays):
    """Compile a PrimFunc for this machine and call it; the last array is its output."""
    module = tvm.IRModule({"kernel": function.with_attr("global_symbol", "kernel")})
    with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        library = tvm.tirx.build(module, tvm_target(target_named("host")), pipeline="default")
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arrays]
    library["kernel"](*tensors)
    return tensors[-1].numpy()


@st.composite
def windows(draw, *, padded=True):
    """A convolution or pooling window that fits an input of up to 14 by 20."""
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, stride, dilation = draw(pair), draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), (1, 1)
    if draw(st.booleans()):
        dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    borders = st.tuples(st.integers(0, 2), st.integers(0, 2)) if padded else st.just((0, 0))
    return Window(kernel, stride, draw(borders), draw(borders), dilation)


@st.composite
def problems(draw):
    """Extents, a window that fits them, numbers of channels, and an epilogue."""
    window = draw(windows())
    least = [d * (k - 1) + 1 for d, k in zip(window.dilation, window.kernel, strict=True)]
    extents = draw(st.tuples(st.integers(least[0], 14), st.integers(least[1], 20)))
    plane = window.outputs(extents)
    pool = None
    if draw(st.booleans()):
        size = draw(st.tuples(st.integers(1, min(3, plane[0])), st.integers(1, min(3, plane[1]))))
        border = (draw(st.integers(0, size[0] - 1)) // 2, draw(st.integers(0, size[1] - 1)) // 2)
        pool = Window(size, draw(st.tuples(st.integers(1, 2), st.integers(1, 2))), border, border)
    steps = draw(st.lists(st.sampled_from(["add", "subtract", "multiply", "divide"]), max_size=2))
    return window, extents, pool, tuple(steps), draw(st.sampled_from(CLIPS)), draw(st.integers(0, 2**16))


def expected(x, weight, window, groups, epilogue, operands):
    (top, left), (bottom, right) = window.before, window.after
    y = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, None, window.stride, 0, window.dilation, groups)
    for kind, operand in zip(epilogue.steps, operands, strict=True):
        operand = operand.reshape(-1, 1, 1) if operand.ndim == 1 else operand
        y = {"add": y + operand, "subtract": y - operand, "multiply": y * operand, "divide": y / operand}[kind]
    y = y if epilogue.clip is None else y.clamp(*epilogue.clip)
    return (
        y
        if epilogue.pool is None
        else F.max_pool2d(y, epilogue.pool.kernel, epilogue.pool.stride, epilogue.pool.before)
    )


def case(problem, batch, inputs, outputs, groups, density):
    """Input, weight, epilogue and its operands; some operands have the shape of the output."""
    window, extents, pool, steps, clip, seed = problem
    torch.manual_seed(seed)
    x, weight = torch.randn(batch, inputs, *extents), torch.randn(outputs, inputs // groups, *window.kernel)
    weight *= torch.rand(weight.shape) < density
    whole = (batch, outputs, *window.outputs(extents))
    shapes = tuple((outputs,) if (seed + i) % 3 else whole for i in range(len(steps)))
    operands = [torch.rand(shape) + 0.5 for shape in shapes]
    signs = torch.where(torch.rand(outputs) < 0.5, -1.0, 1.0)  # a negative factor turns a maximum into a minimum
    operands = [o * (signs if o.ndim == 1 else signs[:, None, None]) for o in operands]
    return x, weight, Epilogue(steps, shapes, clip, pool), operands


def sparse_rows(weight, geometry, entries):
    flat = weight.reshape(len(weight), -1).numpy()
    columns = np.nonzero(flat)[1]
    inner = len(geometry.table)
    input_offsets = columns // inner * geometry.channel_stride + np.array(geometry.table)[columns % inner]
    rows = np.concatenate([[0], np.cumsum((flat != 0).sum(1))]).astype("i4")
    values = flat[flat != 0]
    pad = max(1, len(values)) - len(values)  # TVM has no empty arrays
    stored = np.pad(values, (0, pad)).astype("i1" if entries.values == "uint8" else entries.values)
    return (stored.view(entries.values), np.pad(input_offsets, (0, pad)).astype(entries.input_offsets), rows)


@settings(max_examples=40, deadline=None)
@given(
    problem=problems(), batch=st.integers(1, 2), groups=st.integers(1, 2), density=st.sampled_from([0.0, 0.2, 0.9]),
    accumulators=st.sampled_from([16, 48, 96]), stored=st.sampled_from(["float32", "int8", "uint8"]),
)  # fmt: skip
def test_sparse_convolutions(problem, batch, groups, density, accumulators, stored):
    inputs, outputs = 2 * groups, 3 * groups
    x, weight, epilogue, operands = case(problem, batch, inputs, outputs, groups, density)
    window, extents = problem[:2]
    value_table = np.ones(1, "f4")
    if stored != "float32":
        weight = (weight * 9).round()
        value_table = np.array([0.125], "f4")
    geometry = ConvolutionGeometry(inputs, extents, groups, window, accumulators)
    entries = Entries(max(1, int((weight != 0).sum())), stored, "int32" if stored == "float32" else "uint16")
    values, input_offsets, rows = sparse_rows(weight, geometry, entries)
    if stored == "uint8":  # negative levels follow the others
        value_table = np.concatenate([np.arange(128), np.arange(-128, 0)]).astype("f4") ** 3 / 100
        weight = weight**3 / 100
    else:
        weight = weight * value_table[0]
    want = expected(x, weight, window, groups, epilogue, operands)
    got = run(
        sparse_convolution(batch, geometry, outputs, entries, epilogue),
        x.numpy(), values, input_offsets, rows, value_table, *(o.numpy() for o in operands),
        np.full(tuple(want.shape), np.nan, "f4"),
    )  # fmt: skip
    np.testing.assert_allclose(got, want.numpy(), rtol=2e-4, atol=2e-4)


@settings(max_examples=40, deadline=None)
@given(
    problem=problems(), batch=st.integers(1, 2), inputs=st.integers(1, 3), outputs=st.integers(1, 37),
    registers=st.sampled_from(REGISTERS),
)  # fmt: skip
def test_blocked_convolutions(problem, batch, inputs, outputs, registers):
    x, weight, epilogue, operands = case(problem, batch, inputs, outputs, 1, 1.0)
    window, extents = problem[:2]
    tile = tile_for(outputs, window.outputs(extents), registers)
    packed = run(
        pack(tuple(weight.shape), tile), weight.numpy(), np.zeros(packed_shape(tuple(weight.shape), tile), "f4")
    )
    want = expected(x, weight, window, 1, epilogue, operands)
    got = run(
        blocked_convolution(batch, (inputs, *extents), window, outputs, tile, epilogue),
        x.numpy(), packed, *(o.numpy() for o in operands), np.full(tuple(want.shape), np.nan, "f4"),
    )  # fmt: skip
    np.testing.assert_allclose(got, want.numpy(), rtol=2e-4, atol=2e-4)


def test_a_residual_before_pooling_is_not_read_as_a_bias():
    """With one channel and one column, an operand per output element has the same length as one per channel."""
    torch.manual_seed(0)
    x, weight, residual = torch.randn(1, 2, 9, 1), torch.randn(1, 2, 1, 1), torch.randn(1, 1, 9, 1)
    epilogue = Epilogue(("add",), ((1, 1, 9, 1),), None, Window((3, 1), (3, 1)))
    window, registers = Window((1, 1)), Registers(8, 16)
    tile = tile_for(1, (9, 1), registers)
    packed = run(pack((1, 2, 1, 1), tile), weight.numpy(), np.zeros(packed_shape((1, 2, 1, 1), tile), "f4"))
    want = expected(x, weight, window, 1, epilogue, [residual])
    got = run(
        blocked_convolution(1, (2, 9, 1), window, 1, tile, epilogue), x.numpy(), packed, residual.numpy(),
        np.full(tuple(want.shape), np.nan, "f4"),
    )  # fmt: skip
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 19), inputs=st.integers(1, 40), outputs=st.integers(1, 9), seed=st.integers(0, 99),
    stored=st.sampled_from(["float32", "int8", "uint8"]),
)  # fmt: skip
def test_sparse_dense_layers(batch, inputs, outputs, seed, stored):
    torch.manual_seed(seed)
    x, weight, bias = torch.randn(batch, inputs), torch.randn(outputs, inputs), torch.randn(outputs)
    weight *= torch.rand(weight.shape) < 0.3
    geometry = ConvolutionGeometry(inputs, (1, 1), 1, Window((1, 1)), 96)
    value_table = np.ones(1, "f4")
    if stored != "float32":
        weight = (weight * 9).round()
    entries = Entries(max(1, int((weight != 0).sum())), stored)
    values, _, rows = sparse_rows(weight, geometry, entries)
    input_offsets = np.resize(np.nonzero(weight.numpy())[1] if len(values) and rows[-1] else [0], entries.count).astype(
        "i4"
    )
    if stored == "uint8":
        value_table = np.concatenate([np.arange(128), np.arange(-128, 0)]).astype("f4") ** 3 / 100
        weight = weight**3 / 100
    epilogue = Epilogue(("add",), ((outputs,),), (0.0, math.inf))
    got = run(
        sparse_dense(batch, inputs, outputs, entries, epilogue), x.numpy(), values, input_offsets, rows, value_table,
        bias.numpy(), np.full((batch, outputs), np.nan, "f4"),
    )  # fmt: skip
    np.testing.assert_allclose(got, torch.relu(x @ weight.T + bias).numpy(), rtol=2e-4, atol=2e-4)


@settings(max_examples=20, deadline=None)
@given(size=st.tuples(st.integers(1, 4), st.integers(1, 4)), stride=st.integers(1, 3), rows=st.integers(4, 9))
def test_pooling_alone(size, stride, rows):
    border = (size[0] // 2, size[1] // 2)
    x = torch.randn(2, 3, rows, rows + 2)
    want = F.max_pool2d(x, size, stride, border)
    window = Window(size, (stride, stride), border, border)
    got = run(max_pool(tuple(x.shape), window), x.numpy(), np.full(tuple(want.shape), np.nan, "f4"))
    np.testing.assert_array_equal(got, want.numpy())


@pytest.mark.parametrize("registers", REGISTERS)
@pytest.mark.parametrize("outputs", [(1, 1), (2, 2), (7, 7), (56, 56), (1, 300)])
def test_tiles_fit_the_registers_and_cover_the_output(registers, outputs):
    for channels in (1, 3, 16, 24, 64):
        tile = tile_for(channels, outputs, registers)
        assert tile.rows * tile.columns * tile.vectors + tile.vectors + 1 <= registers.count
        assert tile.lanes <= registers.lanes
        assert tile.rows <= outputs[0]
        assert tile.columns <= outputs[1]


def layer(entries, inputs=64, extents=(16, 16)):
    geometry = ConvolutionGeometry(inputs, extents, 1, Window((3, 3), before=(1, 1), after=(1, 1)), 96)
    return Layer("p_weight", (64, inputs, 3, 3), Stored(entries, "int8"), 1, geometry, Epilogue())


def test_sparser_layers_get_sparse_kernels():
    whole = 64 * 64 * 9
    kernels = [choose([layer(count)], ["c"])[0].kernel for count in (whole // 100, whole // 20, whole // 2, whole)]
    assert kernels[0] == kernels[1] == "sparse"
    assert kernels[-1] == "dense"
    assert kernels == sorted(kernels, reverse=True), "the choice changes once"


@pytest.mark.parametrize("kernels", ["dense", "sparse"])
def test_a_requested_kernel_is_used(kernels):
    (decision,) = choose([layer(10)], ["conv"], kernels)
    assert isinstance(decision, KernelDecision)
    assert (decision.layer, decision.kernel, decision.reason) == ("conv", kernels, "requested")
