"""Bit precision from posterior variance: how finely each tensor must be kept.

For anyone who has a posterior: means and variances in, the step of a grid or a floating-point format out.

    variances = np.full(1000, 1e-4)
    step = codec.grid_step(variances, budget=0.03)           # a uniform grid
    form = codec.round_off_float(means, variances)           # or a small floating-point format

Under the posterior a weight w_i is known to a variance V_i only. Moving it from its mean by d_i costs, to second
order in the log posterior density,

    (1)  cost = sum_i d_i^2 / (2 V_i)   nats.

Rounding to a grid of step s makes d_i uniform in [-s/2, s/2], so that E[d_i^2] = s^2 / 12 and

    (2)  E[cost] / n = s^2 / 24 * mean_i(1 / V_i).

A tensor that may lose `budget` nats a weight is therefore kept on a grid of step

    (3)  s = sqrt(24 * budget * H),   H the harmonic mean of the V_i.

Beside it stands the rule of Louizos, Ullrich and Welling 2017 (section 3.3): the mean variance of a tensor says which
unit round-off it bears, and that how many digits a floating-point number needs. Rounding to a significand of t bits,
the leading one among them, moves a number of the size m by at most 2^-t m; with the largest weight for m this stays
within a posterior standard deviation where

    (4)  t >= log2(max_i |w_i| / sqrt(mean_i V_i)).

The exponent has the bits that the range from the largest weight down to that deviation takes, below which a digit is
noise; what is smaller still is kept with fewer digits, as subnormal numbers are.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .maps import Minifloat

WEIGHT_NOISE = 0.01
SCALE_NOISE = 1e-4
_LARGEST_MANTISSA = 15
_LARGEST_EXPONENT = 8


def grid_step(variance: npt.ArrayLike, budget: float) -> float:
    """Step of the uniform grid by equation (3), in the units of the weight.

    variance  marginal posterior variances of the weights that are kept, any shape, all above 0
    budget    nats that rounding may cost a weight, above 0

    Raises InputError when a variance is zero, as the step would be.

    >>> round(grid_step([1e-4, 1e-4], budget=0.03), 6)
    0.008485
    """
    variances = np.asarray(variance, np.float64)
    if not (variances > 0).all():
        raise InputError("A kept weight has posterior variance 0, so no grid is fine enough; train again.")
    return math.sqrt(24.0 * budget / float(np.mean(1.0 / variances)))


def assumed_variance(mean: npt.ArrayLike, noise: float) -> float:
    """What stands in for the variance of parameters that have no posterior: a share of their mean square.

    mean   the parameters that are kept, at least one of them not 0
    noise  WEIGHT_NOISE or, for those that a whole channel hangs on, SCALE_NOISE
    """
    return noise * float(np.mean(np.square(np.asarray(mean, np.float64))))


def implied_variance(step: float, budget: float) -> float:
    """The variance of which equation (3) makes `step`: what stands in for parameters that have none, as biases."""
    return step * step / (24.0 * budget)


def largest_float(form: Minifloat) -> float:
    """The largest number of a format, rounding to it included."""
    return math.ldexp(
        2.0 - math.ldexp(1.0, -form.mantissa_bits - 1), form.unit + form.mantissa_bits + (1 << form.exponent_bits) - 2
    )


def round_off_float(mean: npt.ArrayLike, variance: npt.ArrayLike) -> Minifloat:
    """The floating-point format of a tensor by equation (4).

    mean, variance  of the weights that are kept, one axis, neither all 0

    Raises InputError when no weight is left or all are known exactly.

    >>> form = round_off_float([0.5, -1.0, 0.25], [0.01, 0.01, 0.01])
    >>> form.exponent_bits, form.mantissa_bits
    (3, 3)
    """
    largest = float(np.max(np.abs(np.asarray(mean, np.float64)), initial=0.0))
    deviation = math.sqrt(float(np.mean(np.asarray(variance, np.float64))))
    if not (largest > 0.0 and deviation > 0.0):
        raise InputError("A tensor without non-zero weights or without variance has no round-off; train again.")
    significand = max(1, math.ceil(math.log2(largest / deviation)))
    mantissa = min(_LARGEST_MANTISSA, significand - 1)
    top = math.frexp(largest)[1] - 1  # largest is in [2^top, 2^(top + 1))
    if math.ldexp(2.0 - math.ldexp(1.0, -mantissa), top) < largest * (1.0 - math.ldexp(1.0, -mantissa - 2)):
        top += 1  # it rounds up to the next power of two
    bottom = min(top, math.frexp(deviation)[1] - 1)
    # Exponents 1 to 2^bits - 1 are of full precision, and the largest of them is `top`.
    bits = min(_LARGEST_EXPONENT, max(1, math.ceil(math.log2(top - bottom + 2))))
    return Minifloat(bits, mantissa, top - mantissa - ((1 << bits) - 2))
