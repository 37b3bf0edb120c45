"""Every supported operator gives PyTorch's results, compiled for the host and in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from operator_cases import GROUPS, Group
from torch import nn

from bayespress import codec
from bayespress.deploy.compile.aot import compile_network
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.devices.base import run_runner
from bayespress.deploy.devices.qemu import ARM64
from bayespress.deploy.program.export import fill_weights, onnx_graph
from bayespress.deploy.program.normalise import normalised, walk
from bayespress.deploy.program.normalise.document import document
from bayespress.deploy.program.normalise.table import TABLE
from bayespress.deploy.verify.sessions import CompiledNetwork, onnx_session
from bayespress.deploy.verify.tolerance import allowed_difference
from bayespress.errors import InputError

pytestmark = pytest.mark.xdist_group("deploy")

# A larger difference is not caused by rounding; random rounding may change a floor or a comparison.
MOST = 1e-7


class Compiled:
    """A program in PyTorch, as ONNX with its decoded weights, and as host code."""

    def __init__(self, program, folder):
        self.program = program
        names = normalised(program).names.values()
        weights = codec.encode([codec.RawTensor(name, program.state_dict[name].numpy()) for name in names])
        decoded = {tensor.name: tensor.values() for tensor in codec.decode(weights)}
        (folder / "between").mkdir()
        made = compile_network(program, target_named("host"), folder / "host", folder / "between", {})
        self.network = CompiledNetwork(made.library, weights)
        self.session = onnx_session(fill_weights(onnx_graph(program), decoded))

    def outputs(self, x):
        """Flat outputs for one input of shape (1, ...), by the name of the runtime."""
        return {
            "normal form": normalised(self.program).program.module()(x).numpy().reshape(-1),
            "ONNX Runtime": self.session.run(None, {"input": x.numpy()})[0].reshape(-1),
            "host": self.network.run(np.ascontiguousarray(x.numpy()[0])).copy().reshape(-1),
        }


def export(network, x):
    return torch.export.export(network.eval().requires_grad_(False), (x,))


@pytest.fixture
def compiled(tmp_path):
    return lambda network, x: Compiled(export(network, x), tmp_path)


def same(got, want):
    """Whether two results of a case differ by at most a few roundings of the largest result."""
    scale = np.abs(want[np.isfinite(want)]).max(initial=0.0)
    return np.allclose(got, want, rtol=2e-5, atol=3e-6 * scale, equal_nan=True)


def within_rounding(one, x, got, want):
    """Whether the results of a case are PyTorch's but for roundings that the case itself makes larger.

    Such are differences of nearly equal numbers (x - tanh(x)) and sigmoids far out. tolerance.py says how large.
    """
    finite = np.isfinite(want)
    if not np.allclose(got[~finite], want[~finite], equal_nan=True):
        return False
    allowed = allowed_difference(one, x.numpy(), np.where(finite, want, 0.0)[None])[0]
    return bool((np.abs(got - want)[finite] <= np.minimum(allowed, MOST)[finite]).all())


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS)
def test_operators(name, compiled):
    torch.manual_seed(0)
    group = GROUPS[name]
    first = torch.randn(group.shape)
    network = Group(group.cases)
    it = compiled(network, first)
    wrong = []
    for number, x in enumerate([first, *(other(first) for other in group.others)]):
        with torch.no_grad():
            expected = [each.numpy() for each in network.results(x)]
        for runtime, output in it.outputs(x).items():
            at = 0
            for (case, forward), want in zip(network.cases, expected, strict=True):
                got, at = output[at : at + want.size], at + want.size
                if not same(got, want) and not within_rounding(Group({case: forward}), x, got, want):
                    wrong.append(f"{case} on {runtime}, input {number}: {got[:4]} instead of {want[:4]}")
    assert not wrong, "\n".join(wrong)


def test_every_operator_of_the_table_has_a_case(monkeypatch):
    used = set()
    rewritten = walk._Walk._rewritten

    def noted(self, node, name):
        used.add(name)
        return rewritten(self, node, name)

    monkeypatch.setattr(walk._Walk, "_rewritten", noted)
    for group in GROUPS.values():
        normalised(export(Group(group.cases), torch.randn(group.shape)))
    tried = {TABLE[name].rule for name in used}
    assert [name for name, entry in TABLE.items() if entry.rule not in tried] == []


def test_the_page_of_operators_matches_the_table():
    page = Path(__file__).parents[2] / "docs" / "OPERATORS.md"
    assert page.read_text() == document(), (
        "run `python -m bayespress.deploy.program.normalise.document > docs/OPERATORS.md`"
    )


class Lookups(nn.Module):
    """Embeddings, gathers and columns at positions that the network computes from its input."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(100, 4)
        self.register_parameter("input", nn.Parameter(torch.randn(4)))
        self.add_module("for", nn.Linear(4, 4))
        self.add_module("int x; //", nn.Linear(4, 4))
        self.relu = nn.Parameter(torch.randn(4))

    def forward(self, x):
        tokens = x.long()
        columns = torch.cat([x, x, x], 1)[:, :8]
        at = tokens
        h = self.embedding(at[0]) * self.input + self.relu
        h = getattr(self, "int x; //")(getattr(self, "for")(h)).flatten()
        parts = [h, columns[:, at[0]], torch.gather(columns, 1, at), columns.index_select(1, at[0]),
                 torch.nn.functional.one_hot(at, 8).float(), torch.take_along_dim(columns, at, 1),
                 torch.zeros(1, 8).scatter(1, at, x)]  # fmt: skip
        return torch.cat([part.reshape(-1) for part in parts])[None]


def test_positions_out_of_range_are_clamped_and_any_weight_name_is_valid(compiled):
    network = Lookups().eval()
    it = compiled(network, torch.tensor([[1.0, 2.0, 3.0]]))
    valid = torch.tensor([[0.0, 7.0, 4.0]])
    with torch.no_grad():
        expected = network(valid).numpy().reshape(-1)
    for runtime, output in it.outputs(valid).items():
        np.testing.assert_allclose(output, expected, atol=1e-5, err_msg=runtime)
    for wild in (1000.0, 100000.0, -5.0, -1000.0, 3e9, -1e30, np.nan, np.inf):
        outputs = it.outputs(torch.tensor([[wild, 2.0, 1.0]]))
        rows = network.embedding.weight.detach()
        with torch.no_grad():
            row = rows[99 if wild > 0 and np.isfinite(wild) and wild < 1e18 else 0] * network.input + network.relu
            first = getattr(network, "int x; //")(getattr(network, "for")(row)).numpy()
        for runtime, output in outputs.items():
            if np.isfinite(wild) and abs(wild) < 2e9:
                np.testing.assert_allclose(output[:4], first, atol=1e-5, err_msg=f"{runtime} at {wild}")
            else:
                assert np.isfinite(output[:12]).all(), f"{runtime} at {wild}"


def test_positions_out_of_range_are_clamped_on_arm(arm, tmp_path):
    """Converting a float that no integer can represent gives another integer on ARM than on x86."""
    network = Lookups().eval()
    program = export(network, torch.tensor([[1.0, 2.0, 3.0]]))
    between = tmp_path / "between"
    between.mkdir()
    made = compile_network(program, target_named("arm64-linux"), tmp_path / "arm", between, {})
    weights, examples = tmp_path / "weights.bpz", tmp_path / "examples.f32"
    names = normalised(program).names.values()
    weights.write_bytes(codec.encode([codec.RawTensor(name, program.state_dict[name].numpy()) for name in names]))
    wild = torch.tensor([[at, 2.0, 1.0] for at in (1.0, 1000.0, 100000.0, -5.0, -3e9, np.nan, np.inf, -1e30)])
    examples.write_bytes(wild.numpy().tobytes())
    outputs = run_runner([ARM64.path(), made.runner, weights, examples]).output_array().reshape(len(wild), -1)
    clamped = normalised(program).program.module()
    for x, output in zip(wild, outputs, strict=True):
        if abs(x[0].item()) < 1e18:
            np.testing.assert_allclose(output, clamped(x[None]).numpy()[0], atol=1e-5, err_msg=str(x))
        else:
            assert np.isfinite(output[:12]).all(), x


def test_negative_positions_that_are_computed_count_from_the_end(compiled):
    class FromTheEnd(nn.Module):
        def forward(self, x):
            return x[:, x[0].long()]

    it = compiled(FromTheEnd(), torch.tensor([[1.0, 2.0, 0.0]]))
    for runtime, output in it.outputs(torch.tensor([[-1.0, -3.0, 2.0]])).items():
        np.testing.assert_array_equal(output, [2.0, -1.0, 2.0], err_msg=runtime)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: torch.erfinv(x), r"erfinv.default in the network itself \(Refused\) is not supported; replace"),
        (lambda x: x + torch.rand(3), "rand.default in .* draws random numbers"),
        (lambda x: torch.fft.fft(x).real, "computes with complex numbers"),
        (lambda x: x[x > 0].sum()[None], "gives a shape or number that is not fixed"),
        (lambda x: x.bfloat16().exp().float(), "exp.default in .* computes in bfloat16, in which it is not exact"),
        (lambda x: x.long(), "output is of type int64"),
        (lambda x: torch.linalg.inv(x.expand(3, 3)), r"cannot take .* apart .*; replace linalg_inv\w*\.\w+ \(docs"),
        (lambda x: torch.ones(1, 3), "does not depend on its input"),
        (lambda x: (x.int() & 3).float(), "works on the bits of integers"),
    ],
)
def test_rejects_unsupported_operators(forward, message):
    class Refused(nn.Module):
        def forward(self, x):
            return forward(x)

    with pytest.raises(InputError, match=message) as refused:
        normalised(export(Refused(), torch.randn(1, 3)))
    assert "\n" not in str(refused.value)
