"""What every data source keeps."""

from __future__ import annotations

import torch

from ..train.data import DataSet


class DataContract:
    """Extend it with a fixture `data` that gives the data set."""

    def test_examples_are_finite_floats(self, data: DataSet) -> None:
        for inputs in (data.train_images, data.test_images):
            assert inputs.dtype == torch.float32
            assert len(inputs) > 0
            assert bool(torch.isfinite(inputs).all())
        assert data.train_images.shape[1:] == data.test_images.shape[1:]

    def test_each_example_has_a_class(self, data: DataSet) -> None:
        for inputs, targets in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
            assert len(inputs) == len(targets)
            assert targets.dtype == torch.int64
            assert int(targets.min()) >= 0
            assert int(targets.max()) < len(data.labels)

    def test_a_held_out_part_takes_nothing_from_the_test_set(self, data: DataSet) -> None:
        part = data.held_out(0.25)
        assert len(part.train_images) + len(part.test_images) == len(data.train_images)
        assert part.labels == data.labels
        assert torch.equal(part.test_images, data.held_out(0.25).test_images), "the split must be the same each time"

    def test_it_describes_itself(self, data: DataSet) -> None:
        assert data.name
        assert data.scale > 0
        assert all(isinstance(label, str) for label in data.labels)
