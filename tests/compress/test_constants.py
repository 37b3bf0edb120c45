"""A user's buffers that are not finite, such as causal masks, are constants of the graph, not weights of the file."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import bayespress
from bayespress import codec
from bayespress.cli.app import app
from bayespress.compress.pipeline import compress_network
from bayespress.compress.posterior import Posterior
from bayespress.compress.quantize_file import compress_file
from bayespress.errors import InputError

INFINITE = float("inf")


class Causal(nn.Module):
    """Causal attention over 6 positions: each position attends to itself and the positions before it."""

    def __init__(self):
        super().__init__()
        self.query, self.value, self.out = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 3)
        self.register_buffer("mask", torch.full((6, 6), -INFINITE).triu(1))

    def forward(self, x):
        query = self.query(x)
        weights = (query @ query.transpose(1, 2) + self.mask).softmax(-1)
        return self.out((weights @ self.value(x)).mean(1))


def compressed(network, inputs):
    values = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    variances = {name: torch.full_like(t, 1e-8) for name, t in values.items() if name.endswith("weight") and t.ndim > 1}
    return compress_network(network, Posterior(values, variances), inputs)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.slow
def test_a_causal_mask_goes_from_training_to_a_verified_bundle(tmp_path):
    torch.manual_seed(0)
    inputs = torch.randn(64, 6, 4)
    loader = torch.utils.data.DataLoader([(x, int(x.mean() > 0)) for x in inputs], batch_size=16)
    net = bayespress.bayesianize(Causal())
    bayespress.fit(net, loader, loader, epochs=1)
    packed = bayespress.compress(net, inputs[:4])
    assert [note for note in packed.notes if note.startswith("Buffer mask holds infinite or NaN values; it stays")]
    assert "mask" not in {tensor.name for tensor in codec.decode(packed.weights)}
    torch.testing.assert_close(packed.original(inputs), net.point_network()(inputs))
    bayespress.build(packed, targets=["host"], out=tmp_path / "net.bundle")
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "net.bundle")])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("mask", ["causal", "padded", "none"])
def test_transformers_with_masks_are_exported(tmp_path, mask):
    """PyTorch compares a mask with the causal one. torch.export cannot follow this branch on values."""

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1)
            causal = nn.Transformer.generate_square_subsequent_mask(6)
            self.register_buffer("mask", causal if mask == "causal" else causal.flip(1))
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            return self.out(self.layers(x, mask=None if mask == "none" else self.mask).mean(1))

    torch.manual_seed(0)
    network, inputs = Encoder().eval(), torch.randn(4, 6, 4)
    compressed(network, inputs).write(tmp_path / "packed", name="encoder")
    program = torch.export.load(tmp_path / "packed" / "original.pt2").module()
    torch.testing.assert_close(program(inputs[:1]), network(inputs[:1]), atol=1e-5, rtol=1e-5)


def test_shared_nested_and_infinite_buffers_of_any_sign():
    class Bounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
            self.inner.register_buffer("low", torch.tensor([-INFINITE, -1.0, -INFINITE]))
            self.inner[0].register_buffer("again", self.inner.low)
            self.register_buffer("high", torch.tensor(INFINITE))

        def forward(self, x):
            return self.inner(x).maximum(self.inner.low).minimum(self.high) + self.inner[0].again.exp()

    network, inputs = Bounded(), torch.randn(4, 4)
    packed = compressed(network, inputs)
    assert sorted(note.split()[1] for note in packed.notes if note.startswith("Buffer")) == [
        "high", "inner.0.again", "inner.low",
    ]  # fmt: skip
    torch.testing.assert_close(packed.network(inputs), network(inputs), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.running_var"])
def test_rejects_weights_and_statistics_that_are_not_finite(name):
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    with torch.no_grad():
        network.state_dict()[name].view(-1)[0] = INFINITE
    with pytest.raises(InputError, match=f"Tensor {name} of the posterior holds NaN or infinite values; train again"):
        compressed(network, torch.randn(4, 4))


def test_rejects_a_mask_in_a_file_of_tensors(tmp_path):
    tensors = {"w": torch.randn(8, 8), "mask": torch.full((6, 6), -INFINITE).triu(1)}
    save_file(tensors, tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"Tensor mask is a mask of infinite values, .* leave it out of the file"):
        compress_file(tmp_path / "net.safetensors", tmp_path / "net.bpz", 0.01)


def test_a_mask_in_an_onnx_model_stays_in_its_graph(tmp_path):
    torch.onnx.export(Causal(), (torch.randn(1, 6, 4),), tmp_path / "net.onnx", dynamo=False)
    found = compress_file(tmp_path / "net.onnx", tmp_path / "net.bpz", 0.01)
    assert [
        note
        for note in found.notes
        if note.startswith("Left out as constants of the model, with infinite or NaN values:")
    ]
    assert found.outputs_error <= 0.01
    assert all("mask" not in tensor.name for tensor in codec.decode((tmp_path / "net.bpz").read_bytes()))
