"""What every likelihood keeps."""

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
    """Extend it with fixtures `likelihood`, an instance; `shape`, of one example's outputs without the batch axis; and
    `targets`, six targets as a loader gives them.
    """

    @pytest.fixture
    def outputs(self, shape: tuple[int, ...]) -> Tensor:
        """Outputs that a network could give."""
        generator = torch.Generator().manual_seed(2026)
        return torch.randn(_EXAMPLES, *shape, generator=generator)

    @pytest.fixture
    def known(self, likelihood: Likelihood, shape: tuple[int, ...], targets: Any) -> Tensor:
        """The targets as the likelihood takes them."""
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
        each = [likelihood.nll(outputs[k : k + 1], known[k : k + 1]) for k in range(_EXAMPLES)]
        torch.testing.assert_close(likelihood.nll(outputs, known), torch.stack(each).mean())

    def test_the_metric_of_batches_adds_up(self, likelihood: Likelihood, outputs: Tensor, known: Tensor) -> None:
        parts = [likelihood.tally(outputs[k : k + 2], known[k : k + 2]) for k in range(0, _EXAMPLES, 2)]
        whole = likelihood.figure(*likelihood.tally(outputs, known))
        summed = likelihood.figure(sum(total for total, _ in parts), sum(count for _, count in parts))
        assert summed == pytest.approx(whole, rel=1e-5)
        assert isinstance(likelihood.metric, Metric)

    def test_targets_that_were_taken_are_taken_again(
        self, likelihood: Likelihood, shape: tuple[int, ...], known: Tensor
    ) -> None:
        assert torch.equal(likelihood.targets(known, _EXAMPLES, shape, "It"), known)

    def test_rejects_invalid_targets(self, likelihood: Likelihood, shape: tuple[int, ...], known: Tensor) -> None:
        for wrong in (known[:-1], "text", None, torch.tensor(0.0)):
            with pytest.raises(InputError, match="Batch 7"):
                likelihood.targets(wrong, _EXAMPLES, shape, "Batch 7")

    def test_rejects_invalid_outputs(self, likelihood: Likelihood, outputs: Tensor) -> None:
        for wrong in ({"logits": outputs}, outputs[:-1], outputs.long(), None):
            with pytest.raises(InputError, match="network gives"):
                likelihood.checked_outputs(wrong, torch.zeros(_EXAMPLES, 1))

    def test_a_teacher_with_these_outputs_asks_for_no_change(self, likelihood: Likelihood, outputs: Tensor) -> None:
        outputs.requires_grad_()
        try:
            loss = likelihood.soft_nll(outputs, outputs.detach())
        except InputError as error:
            assert "distill" in str(error)
            return
        loss.backward()  # type: ignore[no-untyped-call]
        assert outputs.grad is not None
        assert float(outputs.grad.abs().max()) < 1e-5

    def test_a_record_finds_it_again(self, likelihood: Likelihood) -> None:
        assert likelihood_of(name_of(likelihood), likelihood.options()) == likelihood
