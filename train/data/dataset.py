"""A data set, whole in memory, in the parts that training needs, and the checks before it is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ..likelihoods import CrossEntropy, Likelihood, likelihood_of

PartName = Literal["train", "validation", "test"]
_WORDS = {"train": "training", "validation": "validation", "test": "test"}


class Part(NamedTuple):
    """Examples of a data set: inputs (n, ...), and targets (n, ...) as the data set's likelihood takes them."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class DataSet:
    """Examples to train on, to choose by and to report on.

    train       what networks are trained on; inputs as float32 (n, ...), pictures as (n, channels, height, width)
    test        what results are reported on; nothing is chosen by it. None where nothing may be reported yet
    labels      names of the classes, or of the labels under the likelihood multi-label; () where there are none
    scale       a picture's input is the raw byte over `scale`
    description  what else was done to the raw data
    validation  what settings are chosen by; None where `held_out` takes it from the training part
    likelihood  what the targets are: a name, or a Likelihood; see train.likelihoods

    >>> import torch
    >>> from bayespress.train.data import DataSet
    >>> x = torch.randn(20, 3)
    >>> data = DataSet("sums", (x[:15], x[:15].sum(1)), (x[15:], x[15:].sum(1)), likelihood="gaussian")
    >>> data.test.targets.shape, data.held_out(0.2).validation.inputs.shape
    (torch.Size([5, 1]), torch.Size([3, 3]))
    """

    name: str
    train: Part
    test: Part | None
    labels: tuple[str, ...] = ()
    scale: float = 1.0
    description: str = ""
    validation: Part | None = None
    likelihood: Likelihood = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        """Arrays become tensors, float64 inputs float32, and targets what the likelihood makes of them.

        Raises InputError for empty parts, wrong types and shapes, NaN inputs and targets out of range.
        """
        object.__setattr__(self, "likelihood", likelihood_of(self.likelihood))
        object.__setattr__(self, "labels", tuple(self.labels))
        if isinstance(self.likelihood, CrossEntropy) and not self.labels:
            raise InputError(f"Data set {self.name} has no names of classes; give one for each class.")
        if self.test is None and self.validation is None:
            raise InputError(f"Data set {self.name} has neither a test nor a validation part; give one to measure on.")
        for part in ("train", "validation", "test"):
            given = getattr(self, part)
            if given is not None:
                object.__setattr__(self, part, self._checked(given, f"The {_WORDS[part]} set of {self.name}"))

    def _checked(self, given: Any, where: str) -> Part:
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise InputError(f"{where} is of type {type(given).__name__}; give a pair of inputs and targets.")
        inputs = _inputs(given[0], where)
        # The training set is checked first, and is a Part when the others are.
        trained_on = inputs if given is self.train else self.train.inputs
        if inputs.shape[1:] != trained_on.shape[1:]:
            raise InputError(
                f"{where} has inputs of shape {tuple(inputs.shape[1:])}, and the training set of "
                f"{tuple(trained_on.shape[1:])}; they have to agree."
            )
        shape = (len(self.labels),) if isinstance(self.likelihood, CrossEntropy) else None
        return Part(inputs, self.likelihood.targets(given[1], len(inputs), shape, where))

    def held_out(self, fraction: float) -> DataSet:
        """The same without its test part: with its own validation part, or else with one taken from the training part.

        fraction  of the training part, at random and always the same examples

        What is chosen has to be chosen by this. Raises InputError when a part would be empty.
        """
        if self.validation is not None:
            return replace(self, test=None)
        inputs, targets = self.train
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
        count = round(fraction * len(order))
        kept, held = order[count:], order[:count]
        return replace(
            self, train=Part(inputs[kept], targets[kept]), validation=Part(inputs[held], targets[held]), test=None
        )

    @property
    def chosen_by(self) -> PartName:
        """The part that progress is shown on and settings are chosen by: validation, or test where there is none."""
        return "test" if self.validation is None else "validation"

    @property
    def reported_on(self) -> PartName:
        """The part that results are reported on: test, or validation where there is none."""
        return "validation" if self.test is None else "test"

    def part(self, name: PartName) -> Part:
        """A part by its name. Raises InputError when the data set lacks it."""
        found: Part | None = getattr(self, name)
        if found is None:
            raise InputError(f"Data set {self.name} has no {_WORDS[name]} part; give one.")
        return found

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train.inputs.shape[1:])


def _inputs(inputs: object, where: str) -> Tensor:
    """As a tensor of finite numbers, float64 as float32. Raises InputError."""
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind in "buif" and inputs.dtype.itemsize <= 8:
        inputs = torch.from_numpy(np.ascontiguousarray(inputs.astype(inputs.dtype.newbyteorder("="), copy=False)))
    if not isinstance(inputs, Tensor) or inputs.is_complex() or inputs.layout != torch.strided:
        kind = getattr(inputs, "dtype", type(inputs).__name__)
        raise InputError(f"{where} has inputs of type {kind}; give a dense tensor, or an array, of real numbers.")
    if inputs.ndim == 0 or len(inputs) == 0:
        raise InputError(f"{where} is empty; give at least one example.")
    if not bool(torch.isfinite(inputs).all()):
        raise InputError(f"{where} holds NaN or infinite inputs; mend the data.")
    if inputs.dtype == torch.float64:
        inputs = inputs.float()
        if not bool(torch.isfinite(inputs).all()):
            raise InputError(f"{where} holds inputs that float32 cannot; scale the data.")
    return inputs
