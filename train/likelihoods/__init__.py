"""Likelihoods by name: what the outputs of a network say about the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from ...errors import InputError, reason_of, unknown_name, user_code
from ...plugins import imported
from .base import Likelihood
from .bernoulli import Binary, MultiLabel
from .cross_entropy import CrossEntropy
from .custom import Custom
from .gaussian import Gaussian
from .pixels import PixelCrossEntropy

__all__ = [
    "LIKELIHOODS", "Binary", "CrossEntropy", "Custom", "Gaussian", "Likelihood", "LikelihoodLike", "MultiLabel",
    "PixelCrossEntropy", "likelihood_of", "name_of",
]  # fmt: skip

LIKELIHOODS: dict[str, type[Likelihood]] = {
    kind.name: kind for kind in (Binary, CrossEntropy, Gaussian, MultiLabel, PixelCrossEntropy)
}
# What a caller may give: a name, an instance, or a loss function of outputs and targets.
LikelihoodLike = str | Likelihood | Callable[[Tensor, Tensor], Tensor]


def likelihood_of(given: LikelihoodLike, options: Mapping[str, Any] | None = None) -> Likelihood:
    """The likelihood that a caller or a recipe means.

    given    a name of LIKELIHOODS; `module:callable`, which names a loss function or a subclass of Likelihood; an
             instance; or a loss function, see Custom
    options  of a likelihood by name, as sigma of the gaussian

    Raises InputError for an unknown name, with the nearest ones, and for options that it does not take.

    >>> from bayespress.train.likelihoods import likelihood_of
    >>> likelihood_of("gaussian", {"sigma": 0.1})
    Gaussian(sigma=0.1)
    """
    options = dict(options or {})
    found: Any = _by_name(given) if isinstance(given, str) else given
    if isinstance(found, type) and issubclass(found, Likelihood):
        known = [field.name for field in fields(found)]
        if unknown := next((name for name in options if name not in known), None):
            raise unknown_name(f"setting of the task {found.name}", unknown, known)
        try:
            with user_code(f"the likelihood {found.__name__}"):
                return found(**options)
        except InputError as error:
            if not isinstance(error.__cause__, TypeError):
                raise
            raise InputError(f"Task {given} does not take {options} ({reason_of(error.__cause__)}).") from error
    if options:
        raise InputError(f"Task {given} takes no options, and {options} were given; leave them out.")
    if isinstance(found, Likelihood):
        return found
    if not callable(found):
        raise InputError(
            f"The likelihood is of type {type(found).__name__}; give a name ({', '.join(LIKELIHOODS)}), a Likelihood "
            "or a loss function."
        )
    return Custom(found)


def _by_name(name: str) -> Any:
    if name in LIKELIHOODS:
        return LIKELIHOODS[name]
    if ":" in name:
        return imported(name, "Task")
    raise unknown_name("task", name, LIKELIHOODS, "your own loss function as module:callable")


def name_of(likelihood: Likelihood) -> str:
    """The name that a record keeps, by which `likelihood_of` finds it again: of LIKELIHOODS, or module:callable."""
    if LIKELIHOODS.get(likelihood.name) is type(likelihood):
        return likelihood.name
    code: Any = likelihood.function if isinstance(likelihood, Custom) else type(likelihood)
    return f"{code.__module__}:{code.__qualname__}"
