"""What each method promises beyond the contract that all layers share (test_layers.py)."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from sklearn.cluster import KMeans
from torch import nn

from bayespress.errors import InputError
from bayespress.train.bayesian import bayesianize
from bayespress.train.data import batches
from bayespress.train.elbo import blundell_weight
from bayespress.train.fit import fit
from bayespress.train.methods import METHODS, method_named
from bayespress.train.methods.deep_compression import k_means
from bayespress.train.methods.soft_weight_sharing import MixturePrior, SoftWeightSharing
from bayespress.train.predict import predict_samples


def problem(examples=600):
    """Two of eight inputs decide; the rest say nothing."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(examples, 8, generator=generator)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))


def layer_of(linear, method, **options):
    return bayesianize(linear, method, **options).network


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_learns(name):
    x, y = problem()
    net = fit(bayesianize(small(), name), batches(x, y, 20, seed=0), epochs=15, learning_rate=0.01)
    assert float((net(x).argmax(1) != y).float().mean()) < 0.1
    assert float((net.point_network()(x).argmax(1) != y).float().mean()) < 0.1


def test_unknown_names_list_near_ones():
    with pytest.raises(InputError, match=r"no method 'horseshoe'.*did you mean group-horseshoe"):
        method_named("horseshoe")
    with pytest.raises(InputError, match=r"no setting of sparse-vd 'speed'; choose one of initial_log_variance"):
        method_named("sparse-vd", speed=3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bayes-by-backprop", {"mixture_weight": 1.0}, r"mixture weight is 1\.0"),
        ("bayes-by-backprop", {"initial_deviation": 0.0}, r"deviation is 0\.0"),
        ("mc-dropout", {"drop_probability": 1.0}, r"drop probability is 1\.0"),
        ("group-horseshoe", {"global_scale": 0.0}, r"global scale is 0\.0"),
        ("soft-weight-sharing", {"components": 1}, "1 components"),
        ("soft-weight-sharing", {"zero_share": 1.0}, r"share is 1\.0"),
        ("deep-compression", {"prune_at": [0.5, 0.2]}, "have to ascend"),
        ("deep-compression", {"dense_bits": 0}, "give 1 to 16"),
        ("dynamic-network-surgery", {"begin": 0.9, "end": 0.2}, r"from 0\.9 to 0\.2"),
    ],
)
def test_settings_outside_their_range(name, options, message):
    with pytest.raises(InputError, match=message):
        method_named(name, **options)


class TestBayesByBackprop:
    def test_the_prior_is_a_density(self):
        layer = layer_of(nn.Linear(1, 1), "bayes-by-backprop", log_sigma1=-1.0, log_sigma2=-3.0)
        w = torch.linspace(-8, 8, 400_001, dtype=torch.float64)
        assert float(torch.trapezoid(layer.log_prior(w).exp(), w)) == pytest.approx(1.0, abs=1e-6)

    def test_the_kl_estimate_is_right_on_average(self):
        """Against quadrature of E_q[log q - log p] for one weight."""
        linear = nn.Linear(1, 1, bias=False)
        nn.init.constant_(linear.weight, 0.3)
        layer = layer_of(linear, "bayes-by-backprop", initial_deviation=0.2, log_sigma1=0.0, log_sigma2=-3.0)
        estimates = torch.stack([layer.kl() for _ in range(20_000)])
        w = torch.linspace(-2, 3, 200_001, dtype=torch.float64)
        log_q = torch.distributions.Normal(0.3, 0.2).log_prob(w)
        expected = float(torch.trapezoid(log_q.exp() * (log_q - layer.log_prior(w)), w))
        standard_error = estimates.std().item() / math.sqrt(len(estimates))
        assert estimates.mean().item() == pytest.approx(expected, abs=5 * standard_error)

    def test_signal_to_noise_orders_as_log_alpha_does(self):
        layer = layer_of(nn.Linear(6, 4), "bayes-by-backprop")
        nn.init.normal_(layer.rho, -3, 1)
        mean, variance = layer.marginal()
        torch.testing.assert_close(-2 * layer.signal_to_noise().log(), (variance / mean.square()).log())

    @pytest.mark.parametrize("batches_an_epoch", [1, 2, 10, 600])
    def test_the_weights_of_an_epoch_sum_to_the_uniform_ones(self, batches_an_epoch):
        weights = [blundell_weight(index, batches_an_epoch) for index in range(batches_an_epoch)]
        assert sum(weights) == pytest.approx(batches_an_epoch)
        assert all(first > second for first, second in itertools.pairwise(weights[:40]))


class TestGroups:
    @pytest.mark.parametrize("name", ["group-normal-jeffreys", "group-horseshoe"])
    def test_inputs_that_say_nothing_are_struck_whole(self, name):
        x, y = problem(2000)
        net = fit(bayesianize(nn.Linear(8, 2), name), batches(x, y, 100, seed=0), epochs=30, learning_rate=0.04)
        assert net.network.dead().tolist() == [False, False] + [True] * 6
        assert bool((net.network.marginal().mean[:, 2:] == 0).all())

    def test_groups_of_a_convolution_are_its_output_channels(self):
        assert layer_of(nn.Conv2d(3, 5, 2), "group-horseshoe").scales == 5
        assert layer_of(nn.Linear(3, 5), "group-horseshoe").scales == 3

    def test_horseshoe_moments_are_those_of_its_draws(self):
        layer = layer_of(nn.Linear(2, 1), "group-horseshoe", initial_log_variance=-1.0)
        draws = layer.draw_scale(400_000)
        mean, variance = layer.scale_moments()
        torch.testing.assert_close(draws.mean(0), mean, rtol=0.01, atol=0)
        torch.testing.assert_close(draws.var(0), variance, rtol=0.05, atol=0)

    def test_the_first_layers_noise_is_bounded(self):
        net = bayesianize(small(), "group-normal-jeffreys", first_max_deviation=0.1)
        first, second = (layer for _, layer in net.variational_layers())
        for layer in (first, second):
            nn.init.constant_(layer.log_variance, 1.0)
        net.after_step(0.5)
        assert first.log_variance.exp().sqrt().max().item() == pytest.approx(0.1)
        assert second.log_variance.max().item() == 1.0


class TestSoftWeightSharing:
    def prior(self, **options):
        return MixturePrior(SoftWeightSharing(components=4, deviation=0.25, **options))

    def test_penalty_is_the_negative_log_density(self):
        prior = self.prior(tau=0.5)
        weight = torch.randn(50) * 0.5
        means = [0.0, *prior.means.tolist()]
        shares = [0.99, *[0.01 / 3] * 3]
        density = sum(
            share * torch.distributions.Normal(mean, 0.25).log_prob(weight).exp()
            for share, mean in zip(shares, means, strict=True)
        )
        gammas = [(5000.0, 2.0), *[(250.0, 0.1)] * 3]
        hyper = sum((shape - 1) * math.log(16.0) - rate * 16.0 for shape, rate in gammas)
        expected = -0.5 * (density.log().sum().item() + hyper)
        assert prior.penalty([weight[:20], weight[20:]]).item() == pytest.approx(expected, rel=1e-5)

    def test_a_part_of_the_weights_estimates_the_whole(self):
        torch.manual_seed(0)
        weights = [torch.randn(900) * 0.3, torch.randn(100)]
        whole = self.prior().penalty(weights).item()
        part = self.prior(weights_a_step=100)
        estimates = torch.tensor([part.penalty(weights).item() for _ in range(2000)])
        assert estimates.mean().item() == pytest.approx(whole, abs=5 * estimates.std().item() / math.sqrt(2000))

    def test_means_start_over_the_range_of_the_weights(self):
        prior = self.prior()
        prior.start([torch.tensor([-0.5, 0.1]), torch.tensor([[0.3]])])
        assert prior.means.tolist() == pytest.approx([-0.5, -0.1, 0.3])

    def test_at_the_end_weights_are_means_and_near_components_are_one(self):
        net = bayesianize(nn.Linear(3, 1), "soft-weight-sharing", components=4)
        with torch.no_grad():
            net.prior.means.copy_(torch.tensor([-0.5, 0.399, 0.401]))
            net.prior.log_precisions.fill_(-2 * math.log(0.02))
            net.network.weight.copy_(torch.tensor([[0.01, -0.47, 0.42]]))
        net.finish()
        assert net.network.weight.tolist()[0] == pytest.approx([0.0, -0.5, 0.4], abs=1e-4)
        assert net.network.weight[0, 0] == 0.0
        torch.testing.assert_close(net.network.marginal().variance, torch.full((1, 3), 0.0004))

    def test_learning_rates_are_the_mixtures_own(self):
        net = bayesianize(small(), "soft-weight-sharing", mean_rate=0.5)
        groups = net.method.parameter_groups(net, 0.25)
        assert [group["lr"] for group in groups] == [0.25, 0.5, 3e-3, 3e-3]
        assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))

    def test_a_beta_hyper_prior_lets_the_zero_share_be_learnt(self):
        fixed, free = self.prior(), self.prior(zero_beta=(50.0, 5.0))
        for prior in (fixed, free):
            prior.penalty([torch.randn(20)]).backward()
        assert fixed.zero_logit.grad is None
        assert free.zero_logit.grad is not None

    def test_training_quantises(self):
        x, y = problem()
        net = bayesianize(small(), "soft-weight-sharing", components=5)
        fit(net, batches(x, y, 20, seed=0), epochs=20, learning_rate=0.01, warmup_start=0.4, warmup_end=0.4)
        values = torch.cat([layer.weight.flatten() for _, layer in net.variational_layers()])
        assert len(values.unique()) <= 5
        assert bool((values == 0).any())


class TestBaselines:
    def test_k_means_is_as_good_as_a_library_from_the_same_start(self):
        torch.manual_seed(0)
        values = torch.randn(1000)
        start = torch.linspace(values.min(), values.max(), 8).reshape(-1, 1).numpy()
        library = KMeans(8, init=start, n_init=1, tol=0).fit(values.reshape(-1, 1).numpy())
        expected = sorted(library.cluster_centers_.ravel().tolist())
        assert k_means(values, 8).tolist() == pytest.approx(expected, abs=1e-3)

    def test_deep_compression_prunes_in_steps_and_shares(self):
        layer = layer_of(nn.Linear(40, 30), "deep-compression", sensitivity=1.0, dense_bits=3)
        nn.init.normal_(layer.weight)
        kept = [int(layer.mask.sum())]
        for progress in (0.1, 0.3, 0.45, 0.6):
            layer.after_step(progress)
            kept.append(int(layer.mask.sum()))
        assert kept[0] == kept[1] == 1200
        assert kept[1] > kept[2] > kept[3] > kept[4] > 0
        layer.after_step(0.9)
        values = layer.effective_weight().unique()
        assert len(values) <= 9  # eight centroids and zero
        with torch.no_grad():
            layer.weight += torch.randn_like(layer.weight) * 0.01
        layer.after_step(0.95)
        assert len(layer.effective_weight().unique()) == len(values), "members of a centroid move together"

    def test_pruned_weights_of_deep_compression_stay_pruned(self):
        layer = layer_of(nn.Linear(8, 4), "deep-compression")
        layer.mask[:, ::2] = 0
        layer(torch.randn(3, 8)).square().sum().backward()
        assert bool((layer.weight.grad[:, ::2] == 0).all())

    def test_surgery_splices_back(self):
        layer = layer_of(
            nn.Linear(30, 30), "dynamic-network-surgery", threshold=0.0, frequency=1.0, begin=0.0, end=1.0, ramp=0.0
        )
        layer.after_step(0.0)
        assert 0 < int(layer.mask.sum()) < 900
        dropped = (layer.mask == 0).nonzero()[0]
        layer(torch.randn(3, 30)).square().sum().backward()
        assert layer.weight.grad[tuple(dropped)] != 0, "a pruned weight goes on learning"
        with torch.no_grad():
            layer.weight[tuple(dropped)] = 1.0
        layer.after_step(0.01)
        layer.after_step(0.02)
        assert layer.mask[tuple(dropped)] == 1

    def test_no_surgery_outside_its_time(self):
        layer = layer_of(nn.Linear(30, 30), "dynamic-network-surgery", frequency=1.0)
        for progress in (0.0, 0.1, 0.7, 0.9, 1.0):
            layer.after_step(progress)
        assert int(layer.mask.sum()) == 900


class TestPredictSamples:
    def test_entropies_of_a_certain_and_an_unsure_network(self):
        net = bayesianize(nn.Linear(2, 3), "sparse-vd", initial_log_variance=-20.0).eval()
        x = torch.randn(5, 2)
        certain = predict_samples(net, x, 20)
        torch.testing.assert_close(certain.mean, torch.softmax(net(x), 1), atol=1e-3, rtol=0)
        assert bool((certain.mutual_information < 1e-4).all())
        nn.init.constant_(net.network.log_variance, 2.0)
        unsure = predict_samples(net, x, 200)
        assert bool((unsure.mutual_information > 0.1).all())
        assert bool((unsure.mutual_information <= unsure.predictive_entropy).all())
        torch.testing.assert_close(unsure.mean.sum(1), torch.ones(5))
        entropy = torch.distributions.Categorical(unsure.mean).entropy()
        torch.testing.assert_close(unsure.predictive_entropy, entropy)

    def test_batch_norm_stays_as_it_is_and_modes_come_back(self):
        net = bayesianize(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), "mc-dropout").train()
        before = net.network[1].running_mean.clone()
        predict_samples(net, torch.randn(4, 2) + 5, 3)
        assert torch.equal(net.network[1].running_mean, before)
        assert all(module.training for module in net.modules())

    def test_no_samples(self):
        with pytest.raises(InputError, match="0 samples"):
            predict_samples(bayesianize(nn.Linear(2, 2)), torch.zeros(1, 2), 0)
