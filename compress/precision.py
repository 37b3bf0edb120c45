"""How finely each tensor must be kept, from its posterior variance.

Under the posterior a weight w_i is known to a variance V_i only. Moving it from its mean by d_i costs, to second
order in the log posterior density,

    (1)  cost = sum_i d_i^2 / (2 V_i)   nats.

Rounding to a grid of step s makes d_i uniform in [-s/2, s/2], so that E[d_i^2] = s^2 / 12 and

    (2)  E[cost] / n = s^2 / 24 * mean_i(1 / V_i).

A tensor that may lose `budget` nats a weight is therefore kept on a grid of step

    (3)  s = sqrt(24 * budget * H),   H the harmonic mean of the V_i.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError


def grid_step(variance: Tensor, budget: float) -> float:
    """Step of the uniform grid by equation (3), in the units of the weight.

    variance  marginal posterior variances of the weights that are kept, any shape, all above 0
    budget    nats that rounding may cost a weight, above 0

    Raises InputError when a variance is zero, as the step would be.
    """
    if not bool((variance > 0).all()):
        raise InputError("A kept weight has posterior variance 0, so no grid is fine enough; train again.")
    return math.sqrt(24.0 * budget / float(torch.mean(1.0 / variance.double())))
