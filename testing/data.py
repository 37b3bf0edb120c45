"""The contract of a data set."""

from __future__ import annotations

import torch

from ..train.data import DataSet, Part
from ..train.likelihoods import CrossEntropy


class DataContract:
    """Tests for a data set. Extend this class with a fixture `data` that returns the data set."""

    def test_examples_are_finite_floats(self, data: DataSet) -> None:
        for inputs, _ in _parts(data):
            assert inputs.dtype == torch.float32
            assert len(inputs) > 0
            assert bool(torch.isfinite(inputs).all())
            assert inputs.shape[1:] == data.input_shape

    def test_each_example_has_a_target(self, data: DataSet) -> None:
        for inputs, targets in _parts(data):
            assert len(inputs) == len(targets)
            if isinstance(data.likelihood, CrossEntropy):
                assert targets.dtype == torch.int64
                assert int(targets.min()) >= 0
                assert int(targets.max()) < len(data.labels)

    def test_a_held_out_part_contains_no_test_example(self, data: DataSet) -> None:
        split = data.held_out(0.25)
        assert split.test is None
        if data.validation is None:
            assert len(split.train.inputs) + len(split.part("validation").inputs) == len(data.train.inputs)
        assert split.labels == data.labels
        repeated = data.held_out(0.25).part("validation")
        assert torch.equal(split.part("validation").inputs, repeated.inputs), "the split must be the same each time"

    def test_name_scale_and_labels_are_valid(self, data: DataSet) -> None:
        assert data.name
        assert data.scale > 0
        assert all(isinstance(label, str) for label in data.labels)


def _parts(data: DataSet) -> list[Part]:
    return [part for part in (data.train, data.validation, data.test) if part is not None]
