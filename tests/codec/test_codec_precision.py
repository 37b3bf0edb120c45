"""Precision from posterior variance: the cost of rounding to a grid, and the error of small floats."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayespress import codec
from bayespress.codec import grid_step, implied_variance, largest_float, precision, round_off_float
from bayespress.errors import InputError


@pytest.mark.parametrize("budget", [0.001, 0.03, 1.0])
def test_rounding_costs_the_budget(budget):
    """The cost of equation (1), measured on random weights of very different variances, is that of equation (2)."""
    random = np.random.default_rng(0)
    variance = np.exp(random.normal(size=200_000) * 1.5 - 8)
    step = grid_step(variance, budget)
    weights = random.normal(size=200_000) * step * 50
    rounded = np.round(weights / step) * step
    cost = np.mean((rounded - weights) ** 2 / (2 * variance))
    assert cost == pytest.approx(budget, rel=0.03)


def test_the_cost_is_that_of_the_log_density():
    """Equation (1) is the expected log density ratio of Gaussians with the mean moved, here by quadrature."""
    variance, moved = 0.04, 0.03
    x = np.linspace(-2.0, 2.0, 200_001)
    log_before, log_after = -(x**2) / (2 * variance), -((x - moved) ** 2) / (2 * variance)
    density = np.exp(log_before) / math.sqrt(2 * math.pi * variance)
    divergence = np.sum(density * (log_before - log_after)) * (x[1] - x[0])
    assert divergence == pytest.approx(moved**2 / (2 * variance), rel=1e-5)


def test_a_certain_weight_has_no_step():
    with pytest.raises(InputError, match="variance 0"):
        grid_step([1.0, 0.0], 0.1)


def test_the_variance_that_a_step_implies():
    assert grid_step(np.full(9, implied_variance(0.25, 0.1)), 0.1) == pytest.approx(0.25)


@given(st.integers(0, 1000), st.floats(1e-4, 10.0), st.floats(1e-3, 0.9))
def test_small_floats_keep_the_largest_weight_within_its_deviation(seed, scale, noise):
    """Equation (4): the error of every weight stays within a posterior standard deviation."""
    mean = np.random.default_rng(seed).normal(size=200) * scale
    deviation = noise * np.abs(mean).max()
    form = round_off_float(mean, np.full_like(mean, deviation**2))
    kept = form.values(form.nearest(mean))
    assert np.abs(kept - mean).max() <= deviation * 1.001
    assert np.abs(mean).max() <= largest_float(form) * 1.001
    digits = -math.log2(noise)
    assert math.ceil(digits - 1e-6) <= form.mantissa_bits + 1 <= max(1, math.ceil(digits + 1e-6)), "and no more"


def test_small_floats_need_weights_and_variance():
    for mean, variance in (([0.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [0.0, 0.0])):
        with pytest.raises(InputError, match="has no round-off"):
            round_off_float(mean, variance)


def test_examples_run():
    assert doctest.testmod(precision).failed == 0
    assert codec.grid_step is grid_step
