"""Networks of many kinds are either compressed correctly or rejected with one sentence."""

from __future__ import annotations

import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import bayespress
from bayespress import codec
from bayespress.compress.check_written import check_written
from bayespress.compress.pipeline import compress_network
from bayespress.compress.posterior import Posterior
from bayespress.errors import CheckFailedError, InputError

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class Plain(nn.Module):
    """Two layers, 6-8-3, with any further attributes that a test needs."""

    def __init__(self, first=None, **attributes):
        super().__init__()
        self.a, self.b = first or nn.Linear(6, 8), nn.Linear(8, 3)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.b(self.a(x).relu())


def variant(forward, **attributes):
    """A Plain with another forward."""
    return type("Net", (Plain,), {"forward": forward})(**attributes)


def posterior_of(network):
    values = {k: t.detach().clone() for k, t in network.state_dict().items() if isinstance(t, torch.Tensor)}
    variances = {
        k: torch.full_like(t, 1e-8)
        for k, t in values.items()
        if k.endswith("weight") and t.ndim > 1 and t.is_floating_point()
    }
    for variance in variances.values():
        if len(variance) > 3:
            variance[[1, 3]] = 1e4
    return Posterior(values, variances)


def compressed(network, x=X):
    torch.manual_seed(0)
    return compress_network(network, posterior_of(network), x)


class Symmetric(nn.Module):
    def forward(self, weight):
        return weight.tril() + weight.tril(-1).T


def masked():
    layer = nn.Linear(6, 8)
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


def symmetric():
    layer = nn.Linear(8, 8)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), layer)


COMPUTED = {
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(6, 8)),
    "old weight norm": lambda: nn.utils.weight_norm(nn.Linear(6, 8)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(6, 8)),
    "old spectral norm": lambda: nn.utils.spectral_norm(nn.Linear(6, 8)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(6, 8)),
    "mask": masked,
    "symmetric": symmetric,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMPUTED)
def test_computed_weights_become_plain_ones(name):
    torch.manual_seed(0)
    network = Plain(COMPUTED[name]()).eval()
    values = {k: t.detach().clone() for k, t in network.state_dict().items()}
    before = network(X)
    packed = compress_network(network, Posterior(values, {"b.weight": torch.full((3, 8), 1e-8)}), X)
    torch.testing.assert_close(packed.network(X), before, atol=1e-3, rtol=1e-3)
    assert all("parametrizations" not in key and "_orig" not in key for key in packed.network.state_dict())
    assert list(network.state_dict()) == list(values), "the network given was changed"


class Extra(nn.Linear):
    def __init__(self, state):
        super().__init__(6, 8)
        self.state = state

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state


def counting(network):
    """Add a hook that doubles the first layer's outputs and counts its calls."""
    network.a.register_forward_hook(lambda _module, _inputs, output: (network.seen.append(1), output * 2)[1])
    return network


ACCEPTED = {
    "hook": lambda: counting(Plain(seen=[])),
    "parameter list": lambda: variant(
        lambda s, x: s.b((s.a(x) * s.p[0] + s.p[1]).relu()), p=nn.ParameterList([torch.randn(8), torch.randn(8)])
    ),
    "odd names": lambda: variant(
        lambda s, x: s.b((s.a(x) * s.p["[red]"] + s.p["a/b ü"]).relu()),
        p=nn.ParameterDict({"[red]": torch.randn(8), "a/b ü": torch.randn(8)}),
    ),
    "module list": lambda: variant(
        lambda s, x: s.b(s.more[0](s.a(x).relu()).relu()), more=nn.ModuleList([nn.Linear(8, 8)])
    ),
    "empty parameter": lambda: variant(lambda s, x: Plain.forward(s, x) + s.e.sum(), e=nn.Parameter(torch.zeros(0))),
    "scalar parameter": lambda: variant(lambda s, x: Plain.forward(s, x) * s.e, e=nn.Parameter(torch.tensor(2.0))),
    "extra state": lambda: Plain(Extra({"k": 1})),
    "extra tensor": lambda: Plain(Extra(torch.ones(2))),
    "layers without parameters": lambda: nn.Sequential(
        nn.Identity(), nn.Linear(6, 8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 3)
    ),
    "weight used twice": lambda: variant(
        lambda s, x: Plain.forward(s, x) + F.linear(x, s.a.weight).sum(1, keepdim=True)
    ),
    "own width": lambda: variant(lambda s, x: Plain.forward(s, x) / s.a.out_features),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_compresses_network(name, tmp_path):
    torch.manual_seed(0)
    network = ACCEPTED[name]().eval()
    packed = compressed(network)
    packed.write(tmp_path / "packed", name="net")
    reference = network
    with torch.no_grad():
        for key, parameter in reference.named_parameters():
            if key.endswith("weight") and parameter.ndim > 1 and len(parameter) > 3:
                parameter[[1, 3]] = 0
    torch.testing.assert_close(packed.network(X), reference(X), atol=2e-3, rtol=2e-3)


def state_changing(s, x):
    s.n.add_(1)
    return Plain.forward(s, x)


def self_counting(s, x):
    s.k = getattr(s, "k", 0) + 1
    return Plain.forward(s, x) * s.k


REJECTED = {
    "dictionary": (lambda: variant(lambda s, x: {"y": Plain.forward(s, x)}), X, "returns a dict for inputs"),
    "tuple": (lambda: variant(lambda s, x: (Plain.forward(s, x), x)), X, "returns a tuple of 2"),
    "complex outputs": (lambda: variant(lambda s, x: Plain.forward(s, x) * 1j), X, "outputs of torch.complex64"),
    "two inputs": (Plain, (X, X), "The example is a tuple"),
    "no tensor": (Plain, [1, 2], "The example is a list"),
    "wrong shape": (Plain, torch.randn(4, 7), r"cannot be run on inputs of shape \(4, 7\)"),
    "no rows": (Plain, torch.randn(0, 6), "give one input or more"),
    "scalar": (Plain, torch.tensor(1.0), "give one input or more"),
    "NaN": (Plain, torch.full((4, 6), float("nan")), "NaN or infinite"),
    "no parameters": (nn.ReLU, X, "ReLU has no parameters"),
    "meta": (lambda: Plain(nn.Linear(6, 8, device="meta")), X, "a.weight of Plain is on the device meta"),
    "lazy": (lambda: Plain(nn.LazyLinear(8)), X, "a.weight of Plain has no shape yet"),
    "complex": (
        lambda: Plain(c=nn.Parameter(torch.ones(3, dtype=torch.complex64))), X, "c of Plain is of torch.complex64"
    ),
    "batch size": (
        lambda: variant(lambda s, x: s.b(s.a(x).view(4, 8).relu())), X, "runs on 4 inputs but not on one"
    ),
    "state": (lambda: variant(state_changing, n=nn.Buffer(torch.zeros(1))), X, "changes its tensor n"),
    "counter": (lambda: variant(self_counting), X, "different outputs when it runs again"),
    "random": (lambda: variant(lambda s, x: F.dropout(Plain.forward(s, x), 0.5, True)), X, "different outputs"),
    "exit": (lambda: variant(lambda s, x: sys.exit(3)), X, r"cannot be run .* \(SystemExit\)"),
    "not copied": (lambda: Plain(lock=threading.Lock()), X, "Copying the network Plain raised TypeError"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REJECTED)
def test_rejects_networks_in_one_sentence(name):
    make, example, message = REJECTED[name]
    with pytest.raises(InputError, match=message) as caught:
        compress_network(
            make().eval(), Posterior({}, {}) if name in ("meta", "lazy") else posterior_of_any(make()), example
        )
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def posterior_of_any(network):
    with torch.no_grad():
        return posterior_of(network)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floats_become_float32_with_a_note(dtype):
    torch.manual_seed(0)
    network = Plain().to(dtype)
    variances = {"b.weight": torch.full((3, 8), 1e-6, dtype=dtype)}
    packed = compress_network(network, Posterior(dict(network.state_dict()), variances), X.to(dtype))
    assert "cast before errors were measured" in packed.notes[0]
    assert {t.dtype for t in packed.network.parameters()} == {torch.float32}
    torch.testing.assert_close(packed.network(X), network.float()(X), atol=0.05, rtol=0.05)


def test_rejects_float64_that_float32_cannot_hold():
    network = Plain().double()
    with torch.no_grad():
        network.a.weight.mul_(1e-50)
    with pytest.raises(
        InputError, match=r"Tensor a.weight of float64 holds values up to .*e-5\d, which float32 cannot"
    ):
        compressed(network, X.double())


def test_rows_that_depend_on_each_other_are_noted():
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 3))
    with pytest.raises(InputError, match="not on one"):
        compressed(network)
    network = variant(lambda s, x: Plain.forward(s, x) - Plain.forward(s, x).mean(0))
    assert any("depend on the other inputs of a batch" in note for note in compressed(network).notes)


def test_outputs_that_are_not_finite_are_noted():
    packed = compressed(variant(lambda s, x: (Plain.forward(s, x) - 1e9).log()))
    assert any("NaN or infinite outputs" in note for note in packed.notes)


class TestCheckWritten:
    """The exported program with the decoded weights must be the network whose error was measured."""

    def written(self, tmp_path, network=None):
        packed = compressed(network or Plain())
        packed.write(tmp_path / "packed", name="net")
        return packed, tmp_path / "packed" / "network.pt2"

    def test_accepts_the_written_directory(self, tmp_path):
        packed, program = self.written(tmp_path)
        check_written(program, packed.weights, packed.network, X)

    def test_rejects_other_weights_in_the_file(self, tmp_path):
        packed, program = self.written(tmp_path)
        tensors = codec.decode(packed.weights)
        changed = [codec.RawTensor(t.name, t.values() + (t.name == "b.bias")) for t in tensors]
        with pytest.raises(CheckFailedError, match=r"tensor b\.bias differs from the one that the packed file"):
            check_written(program, codec.encode(changed), packed.network, X)
        with pytest.raises(CheckFailedError, match=r"tensor a\.weight differs"):
            check_written(program, codec.encode(tensors[1:]), packed.network, X)

    def test_rejects_another_function(self, tmp_path):
        packed, program = self.written(tmp_path)
        packed.network.register_forward_hook(lambda _module, _inputs, output: output + 0.01 * output.abs())
        with pytest.raises(
            CheckFailedError, match=r"does not compute what the measured network does \(outputs of up to"
        ):
            check_written(program, packed.weights, packed.network, X)

    def test_rejects_a_branch_that_the_export_fixes(self, tmp_path):
        """torch.export follows one side of a branch on a Python number. No directory is written."""
        network = variant(lambda s, x: Plain.forward(s, x) * (1 if float(x.detach().numpy().sum()) > 0 else -1))
        packed = compressed(network)
        with pytest.raises((CheckFailedError, InputError)):
            packed.write(tmp_path / "packed", name="net")
        assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("grad", [True, False])
def test_a_transformer_is_measured_as_it_is_written(tmp_path, grad):
    """In evaluation mode without gradients PyTorch runs another implementation, which reads the weights directly."""
    torch.manual_seed(0)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.head = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.encode(x).mean(1))

    x = torch.randn(4, 5, 8)
    measured = []

    def evaluate(network):
        with torch.set_grad_enabled(grad):
            measured.append(network(x).detach())
        return 0.0

    twin = bayespress.bayesianize(Encoder())
    packed = bayespress.compress(twin, x, evaluate=evaluate, budget=0.5)
    packed.write(tmp_path / "packed", name="net", golden=x)
    program = torch.export.load(tmp_path / "packed" / "network.pt2").module()
    with torch.no_grad():
        deployed = torch.cat([program(example.unsqueeze(0)) for example in x])
    torch.testing.assert_close(measured[-1], deployed, atol=1e-5, rtol=1e-4)
    decoded = {t.name: torch.from_numpy(t.values()) for t in codec.decode(packed.weights)}
    assert torch.equal(decoded["encode.linear1.weight"], packed.network.encode.linear1.weight)


class TestPythonInterface:
    def test_rejects_a_network_without_a_posterior(self):
        with pytest.raises(InputError, match="The network is a Plain without a posterior"):
            bayespress.compress(Plain(), X)

    def test_rejects_an_unknown_setting(self):
        with pytest.raises(InputError, match=r"'budgets' .*did you mean budget"):
            bayespress.compress(bayespress.bayesianize(Plain()), X, budgets=1.0)

    def test_reports_an_evaluation_that_raises(self):
        with pytest.raises(InputError, match="The function that measures the error raised ZeroDivisionError"):
            bayespress.compress(bayespress.bayesianize(Plain()), X, evaluate=lambda _network: 1 / 0)

    @pytest.mark.parametrize("labels", [torch.tensor([0, 1, 2, 7]), torch.ones(4, 2), torch.tensor([0, 1])])
    def test_rejects_labels_that_do_not_fit(self, labels):
        loader = torch.utils.data.DataLoader([(X, labels)], batch_size=None)
        with pytest.raises(InputError, match="batch to retrain on"):
            bayespress.compress(bayespress.bayesianize(Plain()), X, loader=loader, retrain=1)

    def test_reports_data_that_raise(self):
        class Broken(torch.utils.data.Dataset):
            def __len__(self):
                return 4

            def __getitem__(self, index):
                raise KeyError(index)

        loader = torch.utils.data.DataLoader(Broken())
        with pytest.raises(InputError, match="The training data raised KeyError"):
            bayespress.compress(bayespress.bayesianize(Plain()), X, loader=loader, retrain=1)


@pytest.mark.parametrize(
    "value", [torch.ones(3, device="meta"), nn.UninitializedParameter(), {"k": 1}], ids=["meta", "lazy", "dict"]
)
def test_rejects_a_posterior_without_values(value):
    with pytest.raises(InputError, match=r"a\.weight of the posterior is not a tensor with values"):
        Posterior({"a.weight": value}, {})
