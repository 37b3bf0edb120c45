"""The evidence lower bound as a training loss, and the schedule by which its KL term fades in."""

from __future__ import annotations

from torch import Tensor


def negative_elbo(nll: Tensor, kl: Tensor, examples: int, kl_weight: float = 1.0) -> Tensor:
    """Negative ELBO per training example, in nats: nll + kl_weight * kl / examples.

    nll        mean negative log likelihood over a mini-batch, an unbiased estimate for the data set
    kl         KL(posterior || prior) of the whole network, summed and not averaged over weights
    examples   size of the training set
    kl_weight  1 for the bound itself; below 1 while warming up

    Source: Kingma, Salimans, Welling, "Variational Dropout and the Local Reparameterization Trick", 2015, eq. 3.
    """
    return nll + kl_weight * kl / examples


def kl_warmup(epoch: float, start: float, end: float) -> float:
    """Weight of the KL term: 0 until epoch `start`, then linear, 1 from epoch `end` on (epochs may be fractions).

    Without it the prior prunes whole layers before the data had a say (Sonderby et al. 2016; Molchanov et al.
    2017, section 5).
    """
    if epoch >= end or epoch <= start:  # also where start and end are one
        return float(epoch >= end)
    return max(0.0, (epoch - start) / (end - start))


def blundell_weight(batch_index: int, batches: int) -> float:
    """Weight of the KL term in batch i of M relative to a uniform one: M 2^(M - i) / (2^M - 1), i counted from 1.

    The first batches of an epoch follow the prior, the last ones the data; over an epoch the weights sum to M.
    Source: Blundell et al., "Weight Uncertainty in Neural Networks", 2015, section 3.4.
    """
    # 2^(M - i) / (2^M - 1) = 2^-i / (1 - 2^-M), which does not overflow.
    return batches * 2.0 ** -(batch_index + 1) / (1.0 - 2.0**-batches)
