"""A variational twin is the layer that it replaces, and what cannot be one is named."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from bayespress.errors import InputError
from bayespress.train.bayesian import bayesianize
from bayespress.train.fit import fit
from bayespress.train.layers import VariationalLayer
from bayespress.train.methods import METHODS
from bayespress.train.probe import uses_of

X = torch.linspace(-1.0, 1.0, 12).reshape(3, 4)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.b(self.a(x).relu()[..., : self.b.in_features])


def small():
    torch.manual_seed(0)
    return Small()


def called(net, x=X):
    """Outputs in both modes; the sampled one does not have to equal anything."""
    sampled = net.train()(x)
    return net.eval()(x), sampled


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(
    "layer",
    [nn.Linear(4, 6), nn.Conv1d(4, 6, 3, 2, 1), nn.Conv2d(4, 6, (3, 1), groups=2, padding="same", bias=False),
     nn.Conv3d(2, 3, 1, padding_mode="circular")],
    ids=["linear", "conv1d", "conv2d", "conv3d"],
)  # fmt: skip
def test_the_twin_has_the_layer_s_class_attributes_and_text(layer, method):
    layer.colour, layer.note = "blue", nn.Parameter(torch.ones(2))
    layer.register_buffer("seen", torch.zeros(3), persistent=False)
    layer.inner = nn.ReLU()
    net = bayesianize(nn.Sequential(layer), method)
    twin = net.network[0]
    assert isinstance(twin, VariationalLayer)
    assert isinstance(twin, type(layer))
    for name, value in vars(layer).items():
        if not name.startswith("_"):
            assert getattr(twin, name) == value, name
    assert twin.extra_repr() == layer.extra_repr()
    assert torch.equal(twin.weight, layer.weight)
    assert twin.weight is twin._parameters["weight"]
    assert (twin.bias is None) == (layer.bias is None)
    assert torch.equal(twin.note, layer.note)
    assert isinstance(twin.inner, nn.ReLU)
    assert "seen" in twin._non_persistent_buffers_set
    assert "0.note" in net.deterministic()
    assert set(net.posterior_tensors()) >= set(nn.Sequential(layer).state_dict())
    point = net.point_network()
    assert type(point[0]) is type(layer)
    assert set(point.state_dict()) == set(nn.Sequential(layer).state_dict())


def test_hooks_stay_in_their_order_with_their_arguments():
    network, seen = small(), []
    network.a.register_forward_pre_hook(lambda module, args, kwargs: seen.append(("pre", len(args), list(kwargs))),
                                        with_kwargs=True)  # fmt: skip
    network.a.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    network.a.register_forward_hook(lambda module, args, out: out + 1)
    network.a.register_forward_hook(lambda module, args, kwargs, out: seen.append(("out", list(kwargs))),
                                    with_kwargs=True, prepend=True)  # fmt: skip
    network.a.register_forward_hook(lambda *_: seen.append("always"), always_call=True)
    network.a.register_full_backward_hook(lambda module, *_: seen.append("backward"))
    network.a.register_full_backward_pre_hook(lambda module, *_: seen.append("backward-pre"))
    network.a._register_state_dict_hook(lambda module, state, prefix, _: state.update({f"{prefix}more": torch.ones(1)}))
    network.a._register_load_state_dict_pre_hook(lambda state, prefix, *_: state.pop(f"{prefix}more", None))
    net = bayesianize(network, initial_log_variance=-20.0)
    expected = network(X)
    order = list(seen)
    seen.clear()
    torch.testing.assert_close(net.eval()(X), expected)
    assert seen == order == [("pre", 1, []), ("out", []), "always"]
    net.train()(X).sum().backward()
    assert seen[-2:] == ["backward-pre", "backward"]
    assert "a.more" in net.network.state_dict()
    net.network.load_state_dict(net.network.state_dict())


def test_the_input_may_be_named():
    class Named(Small):
        def forward(self, x):
            return self.b(input=self.a(input=x))

    named = Named()
    outputs, _ = called(bayesianize(named))
    torch.testing.assert_close(outputs, named(X))


def test_gradient_hooks_and_attributes_of_parameters_stay():
    network, seen = small(), []
    network.a.weight.register_hook(lambda gradient: seen.append("gradient") or gradient * 0)
    network.a.bias.register_post_accumulate_grad_hook(lambda parameter: seen.append("after"))
    network.a.weight.decay = False
    net = bayesianize(network)
    net(X).sum().backward()
    assert sorted(seen) == ["after", "gradient"]
    assert float(net.network.a.weight.grad.abs().sum()) == 0.0
    assert net.network.a.weight.decay is False


def test_references_beside_the_children_are_to_the_twin():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)
            self.order, self.by_name, self.last = [self.a], {"b": self.b}, self.b.forward

        def forward(self, x):
            for layer in self.order:
                x = layer(x)
            return self.by_name["b"](x)

    net = bayesianize(Listed())
    assert net.network.order[0] is net.network.a
    assert not torch.equal(net(X), net(X)), "weights are sampled"
    net(X).sum().backward()
    assert net.network.a.weight.grad is not None


def test_flags_types_and_devices_stay():
    network = small().double().eval()
    network.a.train()
    network.a.bias.requires_grad_(False)
    net = bayesianize(network)
    assert net.network.a.training
    assert not net.network.b.training
    assert not net.training
    assert not net.network.a.bias.requires_grad
    assert {parameter.dtype for parameter in net.network.parameters()} == {torch.float64}
    for method in sorted(METHODS):
        made = bayesianize(network, method)
        assert called(made, X.double())[0].dtype == torch.float64


def test_frozen_weights_stay_as_they_are():
    network = small()
    network.a.weight.requires_grad_(False)
    net = bayesianize(network)
    assert [name for name, _ in net.variational_layers()] == ["b"]
    assert "a stays deterministic: its weight is frozen (requires_grad is False)" in net.notes
    assert not net.network.a.weight.requires_grad


def test_a_tied_bias_stays_tied_and_so_does_a_weight_by_its_memory():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].bias = network[0].bias
    network[3].weight = nn.Parameter(network[2].weight.detach())  # one memory under two parameters
    net = bayesianize(network)
    assert net.network[1].bias is net.network[0].bias
    assert [name for name, _ in net.variational_layers()] == ["0", "1"]
    assert sum("another module shares its weight" in note for note in net.notes) == 2
    with torch.no_grad():
        net.network[2].weight.fill_(7.0)
    assert bool((net.network[3].weight == 7.0).all())
    assert not bool((network[3].weight == 7.0).any())


class Scaled(nn.Linear):
    def forward(self, input):  # noqa: A002
        return super().forward(input) * 3


def test_layers_that_extend_a_class_or_have_their_own_forward_stay_deterministic():
    network = nn.Sequential(Scaled(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    network[1].forward = lambda x: x * 2
    net = bayesianize(network)
    assert [name for name, _ in net.variational_layers()] == ["2"]
    assert net.notes == (
        "0 stays deterministic: it is a Scaled, which extends Linear",
        "1 stays deterministic: its forward was replaced",
    )
    torch.testing.assert_close(net.predictive_network()(X), net.eval()(X))


def test_layers_may_be_kept():
    net = bayesianize(small(), keep=["a"])
    assert net.notes == ("a stays deterministic: it was named to stay so",)
    with pytest.raises(InputError, match=r"no layer to keep 'aa'.*did you mean a"):
        bayesianize(small(), keep=["aa"])


def copied(net):
    return copy.deepcopy(net)


def pickled(net):
    return pickle.loads(pickle.dumps(net))


def through_a_state_dict(net):
    other = bayesianize(small(), net.method)
    other.load_state_dict(net.state_dict())
    return other


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("way", [copied, pickled, through_a_state_dict])
def test_copies_are_the_same_network(way, method):
    net = bayesianize(small(), method)
    with torch.no_grad():
        net.network.a.weight.mul_(1.5)
    other = way(net)
    assert torch.equal(other.eval()(X), net.eval()(X))
    assert type(other.network.a) is type(net.network.a)
    with torch.no_grad():
        other.network.a.weight.zero_()
    assert not torch.equal(other(X), net(X))


def test_changes_of_attributes_are_followed():
    net = bayesianize(nn.Sequential(nn.Conv1d(1, 2, 3))).eval()
    net.network[0].stride = (2,)
    assert net(torch.ones(1, 1, 9)).shape == (1, 2, 4)


def test_initialisers_by_class_find_the_twin():
    net = bayesianize(small())
    net.apply(lambda module: nn.init.constant_(module.weight, 0.5) if isinstance(module, nn.Linear) else None)
    assert bool((net.network.a.weight == 0.5).all())


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Linear(4, 6), (4,)), (nn.Conv2d(2, 3, 3), (2, 5, 5)), (nn.Conv1d(4, 4, 3), (4, 7))]
)
def test_a_single_input_without_a_batch(layer, shape, method):
    net = bayesianize(layer, method)
    for mode in (True, False):
        assert net.train(mode)(torch.rand(shape)).shape == layer(torch.rand(shape)).shape


@pytest.mark.parametrize("mode", [True, False])
def test_compiled(mode):
    net = bayesianize(small()).train(mode)
    compiled = torch.compile(net, backend="eager")
    torch.manual_seed(3)
    expected = net(X)
    torch.manual_seed(3)
    assert compiled(X).shape == expected.shape
    if not mode:
        torch.testing.assert_close(compiled(X), expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: nn.utils.weight_norm(nn.Linear(4, 2)), r"call torch\.nn\.utils\.remove_weight_norm\(net\.0\) first"),
        (lambda: nn.utils.spectral_norm(nn.Linear(4, 2)), r"call torch\.nn\.utils\.remove_spectral_norm\(net\.0\)"),
        (lambda: parametrizations.weight_norm(nn.Linear(4, 2)), r"remove_parametrizations\(net\.0, 'weight'\)"),
        (lambda: parametrizations.spectral_norm(nn.Conv2d(4, 2, 1)), r"remove_parametrizations\(net\.0, 'weight'\)"),
        (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), r"remove_parametrizations\(net\.0, 'weight'\)"),
        (lambda: parametrized_bias(), r"remove_parametrizations\(net\.0, 'bias'\)"),
        (lambda: prune.l1_unstructured(nn.Linear(4, 2), "weight", 2), r"prune\.remove\(net\.0, 'weight'\)"),
        (lambda: prune.random_unstructured(nn.Linear(4, 2), "bias", 1), r"prune\.remove\(net\.0, 'bias'\)"),
        (lambda: nn.LazyLinear(3), r"Layer 0 \(LazyLinear\) has no weight yet; run the network once"),
        (lambda: nn.Sequential(nn.LazyConv2d(3, 1), nn.Linear(2, 2)), r"Layer 0\.0 \(LazyConv2d\) has no weight yet"),
        (lambda: nn.Linear(4, 2, device="meta"), "meta device"),
        (lambda: attributed(), "has an attribute 'log_variance'"),
        (lambda: bayesianize(nn.Linear(4, 2)), "is variational already"),
        (lambda: locked(), "cannot be copied"),
    ],
)
def test_what_a_twin_cannot_be_is_refused_by_name(spoil, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = nn.Sequential(spoil())
    with pytest.raises(InputError, match=message) as caught:
        bayesianize(network)
    assert "\n" not in str(caught.value)


def parametrized_bias():
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    layer = nn.Linear(4, 2)
    parametrize.register_parametrization(layer, "bias", Twice())
    return layer


def attributed():
    layer = nn.Linear(4, 2)
    layer.log_variance = 3
    return layer


def locked():
    import threading

    layer = nn.Linear(4, 2)
    layer.lock = threading.Lock()
    return layer


def test_the_remedies_work():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), parametrizations.weight_norm(nn.Linear(4, 2)))
        expected = network(X).detach()
        nn.utils.remove_weight_norm(network[0])
        parametrize.remove_parametrizations(network[1], "weight")
    torch.testing.assert_close(bayesianize(network, initial_log_variance=-20.0).eval()(X), expected)


class WithState(nn.Module):
    def __init__(self, state):
        super().__init__()
        self.fc, self.state = nn.Linear(4, 2), state

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state

    def forward(self, x):
        return self.fc(x)


@pytest.mark.parametrize("state", [{"steps": 3}, None, "text", torch.ones(2)])
def test_extra_state_is_kept(state, tmp_path):
    net = bayesianize(WithState(state))
    assert all(isinstance(tensor, torch.Tensor) for tensor in net.posterior_tensors().values())
    net.network.state = {"steps": 4} if isinstance(state, dict) else state
    assert isinstance(net.point_network().state, type(state))
    if isinstance(state, dict):
        assert net.point_network().state == {"steps": 4}
    fit(net, [(X, torch.tensor([0, 1, 1]))], epochs=1, examples=3, folder=tmp_path)
    fit(net, [(X, torch.tensor([0, 1, 1]))], epochs=2, examples=3, folder=tmp_path, resume=True)


def test_extra_state_that_no_checkpoint_can_hold_is_refused_before_training(tmp_path):
    with pytest.raises(InputError, match=r"net.network._extra_state .* cannot be kept in a checkpoint"):
        fit(bayesianize(WithState(object)), [(X, torch.tensor([0, 1, 1]))], epochs=1, examples=3, folder=tmp_path)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("stacked", [True, False])
def test_transformers_predict_with_the_weights_that_are_written(padded, stacked):
    """PyTorch's fast path would read the means of weights that the point prediction takes for zero."""
    torch.manual_seed(0)
    network = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    if stacked:
        network = nn.TransformerEncoder(network, 2)
    net = bayesianize(network, initial_log_variance=-5.0).eval()
    x = torch.randn(3, 5, 8)
    mask = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1]]).bool()
    extra = {"src_key_padding_mask": mask} if padded else {}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted, written = net(x, **extra), net.predictive_network()(x, **extra)
        means = network.eval()(x, **extra)
    seen = ~mask if padded else torch.ones_like(mask)
    torch.testing.assert_close(predicted[seen], written[seen], rtol=1e-4, atol=1e-5)
    assert float((means - written)[seen].abs().max()) > 1e-3
    assert any("self_attn.out_proj stays deterministic" in note for note in net.notes)


def test_attention_itself_is_right_in_both_modes():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    net = bayesianize(nn.ModuleDict({"attention": attention, "fc": nn.Linear(8, 8)}))
    twin = net.network["attention"].eval()
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        torch.testing.assert_close(twin(x, x, x)[0], attention.eval()(x, x, x)[0])


class Reads(nn.Module):
    """Uses layers in every way: called, by forward, past the layer, for their type or bias only, not at all."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.tied, self.spare = nn.Linear(4, 2), nn.Linear(2, 2)
        self.a.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        x = self.b.forward(self.a(x).to(self.c.weight.dtype).to(self.c.weight.device))
        x = self.c(x).reshape(len(x), self.c.weight.shape[0]) * self.a.scale + self.b.bias
        return F.linear(x, self.tied.weight.detach().t().t(), self.tied.bias)


def test_weights_read_past_their_layer_are_found():
    for network in (Reads(), bayesianize(Reads())):
        layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
        layers = {name.removeprefix("network."): layer for name, layer in layers.items()}
        uses = uses_of(network, layers, X)
        assert uses.read_past == ("tied",)
        assert set(uses.unused) == {"tied", "spare"}
        assert not any("forward" in vars(layer) for layer in layers.values())
        assert network.training


def test_a_forward_that_reaches_the_network_it_was_copied_from_is_refused():
    class Closed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.run = lambda x: self.fc(x)

        def forward(self, x):
            return self.run(x)

    with pytest.raises(InputError, match="None of the variational layers takes part"):
        fit(bayesianize(Closed()), [(X, torch.tensor([0, 1, 1]))], epochs=1, examples=3)


def test_fit_refuses_them_and_says_what_to_do():
    batches = [(X, torch.tensor([0, 1, 1]))]
    with pytest.raises(InputError, match=r"weight of layer tied past the layer.*keep=\['tied'\]"):
        fit(bayesianize(Reads()), batches, epochs=1, examples=3)
    logged = []
    net = fit(bayesianize(Reads(), keep=["tied"]), batches, epochs=1, examples=3, log=logged.append)
    assert logged == ["layers that take no part in the outputs: spare"]
    torch.testing.assert_close(net.predictive_network()(X), net(X))


def _extra(read, put_back):
    class Extra(Small):
        get_extra_state = read
        if put_back:
            set_extra_state = lambda self, state: None  # noqa: E731

    return Extra()


def _raises(_network):
    raise ValueError("broken")


def _with_buffer(buffer):
    network = small()
    network.register_buffer("places", buffer)
    return network


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: _extra(lambda _network: {"seen": 1}, put_back=False), "^Extra has a get_extra_state and no set_extra"),
        (lambda: _extra(_raises, put_back=True), "^The get_extra_state of the network raised ValueError: broken"),
        (lambda: _with_buffer(torch.empty(2, device="meta")), "^Buffer places is on the meta device and has no values"),
        (lambda: _with_buffer(nn.UninitializedBuffer()), "^Buffer places has no values yet; run the network once"),
    ],
)
def test_state_that_cannot_be_copied_is_refused_by_name(made, message):
    with pytest.raises(InputError, match=message):
        bayesianize(made())


@pytest.mark.parametrize(
    "middle",
    [
        lambda: nn.utils.weight_norm(nn.ConvTranspose1d(4, 4, 1)), lambda: nn.utils.spectral_norm(nn.Bilinear(4, 4, 4)),
        lambda: prune.l1_unstructured(nn.BatchNorm1d(4), "weight", 0.5),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.*")
def test_weights_that_other_layers_compute_are_copied_after_a_forward_with_gradients(middle):
    class Around(Small):
        def __init__(self):
            super().__init__()
            self.middle = middle()

        def forward(self, x):
            hidden = self.a(x)
            if isinstance(self.middle, nn.ConvTranspose1d):
                hidden = self.middle(hidden.unsqueeze(2)).squeeze(2)
            else:
                hidden = self.middle(*[hidden] * (2 if isinstance(self.middle, nn.Bilinear) else 1))
            return self.b(hidden)

    network = Around()
    network(X).sum().backward()
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(bayesianize(network).eval().point_network()(X), network(X))
