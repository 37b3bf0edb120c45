"""What every data source keeps."""

from __future__ import annotations

import torch

from ..train.data import DataSet, Part
from ..train.likelihoods import CrossEntropy


class DataContract:
    """Extend it with a fixture `data` that gives the data set."""

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

    def test_a_held_out_part_takes_nothing_from_the_test_set(self, data: DataSet) -> None:
        seen = data.held_out(0.25)
        assert seen.test is None
        if data.validation is None:
            assert len(seen.train.inputs) + len(seen.part("validation").inputs) == len(data.train.inputs)
        assert seen.labels == data.labels
        again = data.held_out(0.25).part("validation")
        assert torch.equal(seen.part("validation").inputs, again.inputs), "the split must be the same each time"

    def test_it_describes_itself(self, data: DataSet) -> None:
        assert data.name
        assert data.scale > 0
        assert all(isinstance(label, str) for label in data.labels)


def _parts(data: DataSet) -> list[Part]:
    return [part for part in (data.train, data.validation, data.test) if part is not None]
