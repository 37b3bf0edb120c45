"""Data sets by name, whole in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import InputError, unknown_name, user_code
from ...labels import class_count
from ...plugins import imported
from ..likelihoods import CrossEntropy, Likelihood
from .batches import BatchOrder, batches
from .cifar10 import cifar10
from .dataset import DataSet, Part, PartName
from .digits import digits
from .idx import fashion_mnist, mnist
from .pictures import picture_folder

__all__ = ["DATA_SETS", "BatchOrder", "DataSet", "Part", "PartName", "batches", "load_data"]

DATA_SETS: dict[str, Callable[[Path | None], DataSet]] = {
    "cifar10": cifar10, "digits": digits, "fashion-mnist": fashion_mnist, "mnist": mnist,
}  # fmt: skip
_FOLDER = "folder:"


def load_data(
    name: str,
    data_dir: Path | None = None,
    *,
    likelihood: Likelihood | None = None,
    log: Callable[[str], None] = lambda _text: None,
) -> DataSet:
    """The data set of this name.

    A name is one of DATA_SETS; `folder:PATH`, pictures in PATH/train/CLASS and PATH/test/CLASS or a tar of them; or
    `module:callable`, a function without arguments that returns a DataSet, or the four tensors train images, train
    labels, test images and test labels. `log` is called with notes: files that were passed over, and progress.

    likelihood  what the targets are; None takes the data set's own, which is cross-entropy unless it says otherwise

    Raises InputError for an unknown name, listing near ones, and for data that cannot be trained on.
    """
    if ":" in name and not name.startswith(_FOLDER):
        return _from_callable(name, likelihood)
    found = _named(name, data_dir, log)
    return found if likelihood in (None, found.likelihood) else replace(found, likelihood=likelihood)


def _named(name: str, data_dir: Path | None, log: Callable[[str], None]) -> DataSet:
    if name == "cifar10":
        return cifar10(data_dir, log)
    if name in DATA_SETS:
        return DATA_SETS[name](data_dir)
    if name.startswith(_FOLDER):
        return picture_folder(name, Path(name.removeprefix(_FOLDER)), log)
    raise unknown_name("data set", name, DATA_SETS, "folder:PATH or module:callable")


def _from_callable(name: str, likelihood: Likelihood | None) -> DataSet:
    function = imported(name, "Data set")
    with user_code(f"the data set {name}"):
        made = function()
    if isinstance(made, DataSet):
        return made if likelihood in (None, made.likelihood) else replace(made, likelihood=likelihood)
    if not (isinstance(made, tuple | list) and len(made) == 4):
        what = f"{type(made).__name__} of {len(made)}" if isinstance(made, tuple | list) else type(made).__name__
        raise InputError(
            f"Data set {name} gave a {what}; a DataSet or four tensors are needed: train images, train labels, test "
            "images, test labels."
        )
    train_inputs, train_targets, test_inputs, test_targets = made
    likelihood = likelihood or CrossEntropy()
    labels: tuple[str, ...] = ()
    if isinstance(likelihood, CrossEntropy):
        classes = class_count((train_targets, test_targets), f"Data set {name}")
        labels = tuple(str(number) for number in range(classes))
    return DataSet(
        name, Part(_as_floats(train_inputs), train_targets), Part(_as_floats(test_inputs), test_targets), labels,
        description="as given", likelihood=likelihood,
    )  # fmt: skip


def _as_floats(inputs: Any) -> Any:
    """Real numbers of any type as float32; the rest as it is, for DataSet to refuse."""
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind in "buif":
        inputs = torch.from_numpy(np.ascontiguousarray(inputs.astype(np.float32)))
    return inputs.float() if isinstance(inputs, torch.Tensor) and not inputs.is_complex() else inputs
