"""The contract of a likelihood."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ..errors import InputError
from ..metric import Metric
from ..train.likelihoods import Likelihood, likelihood_of, name_of

_EXAMPLES = 6


class LikelihoodContract:
    """Tests for a likelihood. Extend this class with three fixtures:

    likelihood  the likelihood
    shape       shape of the outputs for one example, without the batch axis
    targets     six targets as a loader returns them
    """

    @pytest.fixture
    def outputs(self, shape: tuple[int, ...]) -> Tensor:
        """Random outputs of a network, of shape (6, *shape)."""
        generator = torch.Generator().manual_seed(2026)
        return torch.randn(_EXAMPLES, *shape, generator=generator)

    @pytest.fixture
    def known(self, likelihood: Likelihood, shape: tuple[int, ...], targets: Any) -> Tensor:
        """The targets after conversion by the likelihood."""
        return likelihood.targets(targets, _EXAMPLES, shape, "It")

    def test_the_log_loss_is_a_scalar_with_a_gradient(
        self, likelihood: Likelihood, outputs: Tensor, known: Tensor
    ) -> None:
        outputs.requires_grad_()
        loss = likelihood.nll(likelihood.checked_outputs(outputs, torch.zeros(_EXAMPLES, 1)), known)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.shape == ()
        assert math.isfinite(loss.item())
        assert outputs.grad is not None
        assert bool(torch.isfinite(outputs.grad).all())
        assert float(outputs.grad.abs().max()) > 0.0

    def test_the_log_loss_is_a_mean_over_examples(self, likelihood: Likelihood, outputs: Tensor, known: Tensor) -> None:
        losses = [likelihood.nll(outputs[k : k + 1], known[k : k + 1]) for k in range(_EXAMPLES)]
        torch.testing.assert_close(likelihood.nll(outputs, known), torch.stack(losses).mean())

    def test_the_metric_of_batches_equals_that_of_all_examples(
        self, likelihood: Likelihood, outputs: Tensor, known: Tensor
    ) -> None:
        parts = [likelihood.tally(outputs[k : k + 2], known[k : k + 2]) for k in range(0, _EXAMPLES, 2)]
        whole = likelihood.figure(*likelihood.tally(outputs, known))
        summed = likelihood.figure(sum(total for total, _ in parts), sum(count for _, count in parts))
        assert summed == pytest.approx(whole, rel=1e-5)
        assert isinstance(likelihood.metric, Metric)

    def test_converted_targets_convert_to_themselves(
        self, likelihood: Likelihood, shape: tuple[int, ...], known: Tensor
    ) -> None:
        assert torch.equal(likelihood.targets(known, _EXAMPLES, shape, "It"), known)

    def test_rejects_invalid_targets(self, likelihood: Likelihood, shape: tuple[int, ...], known: Tensor) -> None:
        for invalid in (known[:-1], "text", None, torch.tensor(0.0)):
            with pytest.raises(InputError, match="Batch 7"):
                likelihood.targets(invalid, _EXAMPLES, shape, "Batch 7")

    def test_rejects_invalid_outputs(self, likelihood: Likelihood, outputs: Tensor) -> None:
        for invalid in ({"logits": outputs}, outputs[:-1], outputs.long(), None):
            with pytest.raises(InputError, match="network gives"):
                likelihood.checked_outputs(invalid, torch.zeros(_EXAMPLES, 1))

    def test_a_teacher_with_the_same_outputs_gives_no_gradient(self, likelihood: Likelihood, outputs: Tensor) -> None:
        outputs.requires_grad_()
        try:
            loss = likelihood.soft_nll(outputs, outputs.detach())
        except InputError as error:
            assert "distill" in str(error)
            return
        loss.backward()  # type: ignore[no-untyped-call]
        assert outputs.grad is not None
        assert float(outputs.grad.abs().max()) < 1e-5

    def test_its_name_and_options_restore_it(self, likelihood: Likelihood) -> None:
        assert likelihood_of(name_of(likelihood), likelihood.options()) == likelihood
