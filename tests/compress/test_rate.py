"""The estimated bits of levels match the codec's, and levels minimise rate and distortion."""

from __future__ import annotations

import math

import pytest
import torch

from bayespress import codec
from bayespress.compress.quantize import grid_levels
from bayespress.compress.rate import LevelBits, rate_levels
from bayespress.compress.settings import CompressSettings
from bayespress.errors import InputError


def uneven_levels(rows=400, columns=500):
    """Levels whose rows and columns have different densities, as in a trained network."""
    generator = torch.Generator().manual_seed(3)
    by_row, by_column = (torch.rand(count, generator=generator).pow(4) for count in (rows, columns))
    alive = torch.rand(rows, columns, generator=generator) < 2.0 * by_row[:, None] * by_column
    sizes = torch.randn(rows, columns, generator=generator).mul(2).round()
    return (torch.where(sizes == 0, 1.0, sizes) * alive).to(torch.int32)


def test_the_bits_match_those_of_the_codecs_coder():
    """The estimate is within about 10 %, while the plain entropy of the levels is far too high."""
    levels = uneven_levels()
    tensor = codec.QuantizedTensor("w", levels.numpy(), codec.Grid(0.1))
    streams = codec.layout(codec.encode([tensor], profile="small")).tensors[0].streams
    coded = 8 * (streams["values"] + streams["indices"] + streams["rows"] + streams["masks"])
    estimated = float(LevelBits(levels).of(levels).sum())
    plain = float(LevelBits(levels.flatten()).of(levels.flatten()).sum())
    assert 0.88 < estimated / coded < 1.1
    assert plain > 1.15 * coded


def test_bits_are_linear_between_two_levels():
    levels = torch.tensor([[0, 1, -2, 0], [3, 0, 0, 1]])
    bits = LevelBits(levels)
    one, two = bits.of(torch.full_like(levels, 1)), bits.of(torch.full_like(levels, -2))
    torch.testing.assert_close(bits.slope(torch.full(levels.shape, -1.25)), one - two)
    torch.testing.assert_close(bits.slope(torch.full(levels.shape, 0.25)), one - bits.of(torch.zeros_like(levels)))
    assert not bits.slope(torch.zeros(levels.shape)).any()
    some = torch.tensor([1, 4, 6])
    few = bits.at(some).slope(torch.tensor([0.5, 2.5, -1.5]))
    whole = bits.slope(torch.tensor([[0.0, 0.5, 0.0, 0.0], [2.5, 0.0, -1.5, 0.0]]))
    torch.testing.assert_close(few, whole.flatten()[some].float())


def test_a_weight_alone_in_its_row_and_column_costs_more_bits():
    levels = torch.zeros(20, 20, dtype=torch.int32)
    levels[0] = 1
    bits = LevelBits(levels).of(torch.ones_like(levels))
    assert bits[7, 7] > bits[0, 7] + 3.0


def cost_of(levels, mean, variance, step, rate):
    """Equation (5), weight by weight, with equation (6) for a single row."""
    magnitudes = [abs(int(level)) for level in levels if level != 0]
    density = (len(magnitudes) + 0.5) / (len(levels) + 1)
    total = 0.0
    for level, w, v in zip(levels.tolist(), mean.tolist(), variance.tolist(), strict=True):
        if level == 0:
            bits = -math.log2(1 - density)
        else:
            bits = 1 - math.log2(density) - math.log2(magnitudes.count(abs(level)) / len(magnitudes))
        total += (w - level * step) ** 2 / (2 * v) + rate * math.log(2) * bits
    return total


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0])
def test_levels_by_rate_cost_less_and_take_fewer_bits(rate):
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(3000, generator=generator).pow(3) * 0.1 * (torch.rand(3000, generator=generator) < 0.3)
    variance = torch.full_like(mean, 0.002)
    nearest, chosen = (rate_levels(mean, variance, 0.1, weight) for weight in (0.0, rate))
    assert nearest.tolist() == grid_levels("w", mean, 0.1).tolist()
    assert cost_of(chosen, mean, variance, 0.1, rate) < cost_of(nearest, mean, variance, 0.1, rate)
    assert torch.count_nonzero(chosen) < torch.count_nonzero(nearest)
    assert bool((chosen.abs() <= nearest.abs()).all())
    assert bool((chosen * nearest >= 0).all())


def test_a_certain_weight_keeps_its_level_at_any_rate():
    mean, variance = torch.tensor([0.31, 0.0, -0.12, 0.11]), torch.tensor([1e-9, 0.0, 1e-9, 10.0])
    assert rate_levels(mean, variance, 0.1, 1.0).tolist() == [3, 0, -1, 0]
    assert rate_levels(torch.zeros(3), torch.zeros(3), 0.1, 1.0).tolist() == [0, 0, 0]


def test_rejects_a_negative_rate():
    with pytest.raises(InputError, match=r"rate weight is -0\.1"):
        CompressSettings(rate_weight=-0.1)
