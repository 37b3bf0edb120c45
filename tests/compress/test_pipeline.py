"""The guarantees of compression, from a posterior to a packed network, for every network and caller."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import bayespress
from bayespress import codec
from bayespress.compress.pipeline import compress_network
from bayespress.compress.posterior import Posterior
from bayespress.compress.settings import CompressSettings
from bayespress.errors import InputError
from bayespress.packed_format import PackedRecord
from zoo import ZOO, posterior_of

RECORDS = Path(__file__).parent.parent / "support" / "records"  # as versions before this one wrote them


def packed_specimen(name, **settings):
    specimen = ZOO[name]
    network = specimen.network()
    return compress_network(network, posterior_of(network), specimen.inputs(), CompressSettings(**settings))


@pytest.mark.parametrize("name", ZOO)
def test_the_file_holds_the_network(name):
    """The file decodes to exactly the packed network's weights, and to all of them."""
    packed = packed_specimen(name)
    state = {key: tensor for key, tensor in packed.network.state_dict().items() if tensor.is_floating_point()}
    tensors = {tensor.name: tensor.values() for tensor in codec.decode(packed.weights)}
    assert set(tensors) == set(state)
    for key, tensor in state.items():
        assert torch.equal(torch.from_numpy(tensors[key]), tensor), key


@pytest.mark.parametrize("name", ZOO)
def test_a_fine_grid_changes_outputs_little(name):
    """With a very fine grid the packed network computes what the thresholded network does."""
    specimen = ZOO[name]
    network = specimen.network()
    posterior = posterior_of(network)
    packed = compress_network(network, posterior, specimen.inputs(), CompressSettings(budget=1e-4))
    for key in posterior.variances:
        with torch.no_grad():
            network.get_parameter(key)[posterior.log_alpha(key) > 3] = 0
    x = specimen.inputs(16)
    with torch.no_grad():
        torch.testing.assert_close(packed.network(x), network(x), atol=0.01, rtol=0.01)
    assert packed.original_parameters == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["mlp", "conv", "residual", "conv1d"])
def test_dead_units_are_not_in_the_file(name):
    packed = packed_specimen(name)
    assert sum(parameter.numel() for parameter in packed.network.parameters()) < packed.original_parameters
    assert all("no bias can replace them" in note for note in packed.notes)


def test_a_coarser_budget_gives_a_smaller_file():
    sizes = [len(packed_specimen("mlp", budget=budget).weights) for budget in (1e-4, 1e-2, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_the_metric_is_recorded_after_each_step_and_changes_nothing():
    specimen = ZOO["mlp"]
    network = specimen.network()
    logged, figures = [], iter([1.0, 2.0, 3.0, 99.0])
    packed = compress_network(
        network, posterior_of(network), specimen.inputs(), evaluate=lambda _: next(figures), progress=logged.append
    )
    assert logged == ["trained", "threshold", "remove units", "levels"] == [step.name for step in packed.steps]
    assert [step.metric for step in packed.steps] == [1.0, 2.0, 3.0, 99.0]
    assert packed.steps[0].nonzero > packed.steps[1].nonzero >= packed.steps[2].nonzero >= packed.steps[3].nonzero > 0
    assert packed.steps[-1].bytes == len(packed.weights)
    assert packed.weights == packed_specimen("mlp").weights, "the same posterior gives the same file"


def test_shared_values_without_variance_become_a_codebook():
    """deep-compression and soft-weight-sharing give few distinct values, which are stored exactly."""
    specimen = ZOO["mlp"]
    network = specimen.network()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.round(parameter * 20) / 20)
    values = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    variances = {name: torch.zeros_like(tensor) for name, tensor in values.items() if tensor.ndim > 1}
    packed = compress_network(network, Posterior(values, variances), specimen.inputs())
    maps = {tensor.name: type(getattr(tensor, "value_map", None)).__name__ for tensor in codec.decode(packed.weights)}
    assert {maps[name] for name in variances} == {"Codebook"}
    x = specimen.inputs(8)
    torch.testing.assert_close(packed.network(x), network(x))


def test_many_values_without_variance_are_clustered():
    """dynamic-network-surgery gives weights with many distinct values."""
    network = nn.Sequential(nn.Linear(60, 60), nn.ReLU(), nn.Linear(60, 2))
    values = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    variances = {name: torch.zeros_like(tensor) for name, tensor in values.items() if tensor.ndim > 1}
    x = torch.randn(64, 60)
    packed = compress_network(network, Posterior(values, variances), x, CompressSettings(clusters=64))
    books = {t.name: t.value_map for t in codec.decode(packed.weights) if isinstance(t, codec.QuantizedTensor)}
    assert {name: len(book.entries) for name, book in books.items()} == {"0.weight": 65, "2.weight": 121}
    torch.testing.assert_close(packed.network(x), network(x), atol=0.05, rtol=0.05)


def test_rejects_a_posterior_that_leaves_no_weight():
    network = nn.Linear(3, 2)
    values = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    noise = Posterior(values, {"weight": torch.full((2, 3), 1e6)})
    with pytest.raises(InputError, match=r"rule log-alpha with threshold 3, .* leaves no weight"):
        compress_network(network, noise, torch.randn(2, 3))


def test_one_weight_of_the_output_layer_is_enough():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    values = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    variances = {"0.weight": torch.full((4, 3), 1e-4), "2.weight": torch.full((2, 4), 1e6)}
    variances["2.weight"][0, 1] = 1e-6
    packed = compress_network(network, Posterior(values, variances), torch.randn(2, 3))
    assert packed.network[0].weight.shape == (1, 3)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(x), x


@pytest.mark.parametrize(
    ("network", "example", "message"),
    [
        (nn.Linear(3, 2), torch.ones(4, 5), r"Linear cannot be run on inputs of shape \(4, 5\) \(mat1 and mat2"),
        (Pair(), torch.ones(4, 3), r"Pair returns a tuple of 2 for inputs of shape \(4, 3\); return one tensor"),
        (nn.Sequential(nn.Linear(3, 2), nn.Flatten(0)), torch.ones(4, 3), r"returns a tensor of shape \(8,\)"),
    ],
    ids=["shape", "two-outputs", "no-batch"],
)
def test_rejects_inputs_and_outputs_that_do_not_fit(network, example, message):
    with pytest.raises(InputError, match=message):
        compress_network(network, posterior_of(network), example)


class TestPythonInterface:
    @pytest.mark.parametrize("name", ["mlp", "residual", "aliased"])
    def test_from_bayesianize_to_a_packed_directory(self, name, tmp_path):
        specimen = ZOO[name]
        net = bayespress.bayesianize(specimen.network())
        packed = bayespress.compress(net, specimen.inputs(), budget=0.1)
        record = packed.write(tmp_path / "packed", name="net")
        assert record == PackedRecord.read(tmp_path / "packed")
        assert record.input_shape == specimen.shape
        assert record.packed_bytes == len(packed.weights) == (tmp_path / "packed" / "weights.bpz").stat().st_size
        program = torch.export.load(tmp_path / "packed" / "network.pt2")
        x = specimen.inputs()[:1]
        torch.testing.assert_close(program.module()(x), packed.network(x))

    def test_save(self, tmp_path):
        packed = packed_specimen("mlp")
        packed.save(tmp_path / "net.bpz")
        assert (tmp_path / "net.bpz").read_bytes() == packed.weights
        assert packed.ratio == pytest.approx(4 * packed.original_parameters / len(packed.weights))

    @pytest.mark.parametrize(
        "imports",
        [
            "import bayespress",
            "import bayespress.compress.pipeline, bayespress",
            "from bayespress import compress; import bayespress",
            "from bayespress.compress.shrink import shrink; import bayespress",
        ],
    )
    def test_compress_is_a_function_whatever_was_imported_before(self, imports):
        code = f"{imports}\nassert bayespress.compress.__module__ == 'bayespress.api'"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_rejects_a_network_without_a_static_graph(self, tmp_path):
        class Branching(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(3, 3)

            def forward(self, x):
                return self.fc(x) if x.sum() > 0 else x

        network = Branching()
        packed = compress_network(network, posterior_of(network), torch.ones(2, 3))
        with pytest.raises(InputError, match=r"Branching cannot be exported for an input of shape \(1, 3\)"):
            packed.write(tmp_path / "packed", name="net")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a packed directory's record"),
        ('{"version": "2"}', "not a packed directory's record"),
        ('{"version": 2, "name": "x", "surplus": 1}', "not a packed directory's record"),
        ('{"version": 3, "name": "x"}', r"version 3.*a later bayespress.*version 2; install that"),
    ],
)
def test_rejects_invalid_record(tmp_path, text, message):
    (tmp_path / "packed.json").write_text(text)
    with pytest.raises(InputError, match=message):
        PackedRecord.read(tmp_path)


def test_rejects_a_record_of_version_1(tmp_path):
    shutil.copy(RECORDS / "packed-version-1.json", tmp_path / "packed.json")
    with pytest.raises(InputError, match=r"version 1, .*version 2") as caught:
        PackedRecord.read(tmp_path)
    assert "bayespress compress" in str(caught.value)


def point_estimates(name):
    """A network, and a posterior without variances in which about a quarter of its weights are zero."""
    network = ZOO[name].network()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter[parameter.abs() < parameter.abs().median() / 2] = 0
    values = {key: tensor.detach() for key, tensor in network.state_dict().items()}
    variances = {key: torch.zeros_like(tensor) for key, tensor in values.items() if tensor.ndim > 1}
    return network, Posterior(values, variances)


@pytest.mark.parametrize("name", ["mlp", "conv", "residual"])
@pytest.mark.parametrize("quantizer", ["size", "codebook", "round-off", "posterior"])
def test_every_quantizer_holds_the_network(name, quantizer):
    """With fine settings each quantizer gives a network that computes almost the same outputs."""
    specimen = ZOO[name]
    network, posterior = point_estimates(name) if quantizer in ("size", "codebook") else (specimen.network(), None)
    if posterior is None:
        known = posterior_of(network)
        posterior = Posterior(known.values, {key: torch.full_like(v, 1e-6) for key, v in known.variances.items()})
    settings = CompressSettings(quantizer=quantizer, budget=0.001, clusters=512, threshold=30.0)
    packed = compress_network(network, posterior, specimen.inputs(), settings)
    maps = {type(t.value_map).__name__ for t in codec.decode(packed.weights) if isinstance(t, codec.QuantizedTensor)}
    kinds = {"size": "Grid", "codebook": "Codebook", "round-off": "Minifloat", "posterior": "Grid"}
    assert kinds[quantizer] in maps
    x = specimen.inputs(16)
    with torch.no_grad():
        reach = float(network(x).abs().max())
        assert float((packed.network(x) - network(x)).abs().max()) < 0.05 * reach


def test_one_codebook_for_the_whole_network():
    network, posterior = point_estimates("mlp")
    settings = CompressSettings(quantizer="codebook", clusters=8, shared=True)
    packed = compress_network(network, posterior, ZOO["mlp"].inputs(), settings)
    books = [t.value_map.entries for t in codec.decode(packed.weights) if t.name in posterior.variances]
    values = {float(value) for book in books for value in book} - {0.0}
    assert len(books) > 1
    assert len(values) <= 8


def test_the_record_lists_the_bits_of_each_layer(tmp_path):
    packed = packed_specimen("conv", budget=0.1)
    record = packed.write(tmp_path / "packed", name="net")
    assert sum(bits for layer in record.layers for bits in layer.bits.values()) <= 8 * record.packed_bytes
    state = packed.network.state_dict()
    for layer in record.layers:
        assert layer.shape == tuple(state[layer.name].shape)
        assert layer.nonzero == int(torch.count_nonzero(state[layer.name]))
        before = packed.original.state_dict().get(layer.name)
        assert layer.original_shape == (() if before is None else tuple(before.shape))
        assert layer.coding.startswith("levels -")
        assert layer.step > 0
    parameters = sum(parameter.numel() for parameter in packed.network.parameters())
    assert record.papers.fast_prediction == 4 * parameters < record.original_bytes
    assert record.papers.maximum_compression < record.papers.fast_prediction
    assert record.settings["budget"] == 0.1
