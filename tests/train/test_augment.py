"""Pictures moved and mirrored: what of a picture is kept, and that it is the same for every reader."""

from __future__ import annotations

import pytest
import torch

from bayespress.errors import InputError
from bayespress.train.data import batches
from bayespress.train.data.augment import MovedPictures

IMAGES = torch.arange(1.0, 6 * 2 * 5 * 4 + 1).reshape(6, 2, 5, 4)
LABELS = torch.arange(6)
ALL = torch.arange(6)


def pictures(**settings):
    return MovedPictures(IMAGES, LABELS, **{"shift": 0, "mirror": False, "seed": 0, **settings})


def test_a_moved_picture_is_the_picture_elsewhere():
    data = pictures(shift=2)
    moved, labels = data[ALL]
    assert torch.equal(labels, LABELS)
    places = set()
    for example in range(6):
        (top, left) = data._moves[example].tolist()
        places.add((top, left))
        padded = torch.zeros(2, 9, 8)
        padded[:, 2:7, 2:6] = IMAGES[example]
        assert torch.equal(moved[example], padded[:, top : top + 5, left : left + 4])
    assert len(places) > 1


def test_every_move_occurs():
    many = MovedPictures(torch.ones(2000, 1, 3, 3), torch.zeros(2000), shift=1, mirror=False, seed=0)
    kept = many[torch.arange(2000)][0].sum((1, 2, 3))
    # no move keeps 9 of 9 pixels, a side one 6, a diagonal one 4
    assert [int((kept == pixels).sum()) // 100 for pixels in (9, 6, 4)] == pytest.approx([2, 8.9, 8.9], abs=1)


def test_mirrored_pictures():
    data = pictures(mirror=True, seed=3)
    mirrored = [torch.equal(data[ALL][0][n], IMAGES[n].flip(-1)) for n in range(6)]
    plain = [torch.equal(data[ALL][0][n], IMAGES[n]) for n in range(6)]
    assert all(one != other for one, other in zip(mirrored, plain, strict=True))
    assert 0 < sum(mirrored) < 6


def test_the_epoch_and_the_example_decide_and_nothing_else():
    whole, halves = pictures(shift=1, mirror=True), pictures(shift=1, mirror=True)
    for epoch in (0, 4):
        whole.set_epoch(epoch)
        halves.set_epoch(epoch)
        torch.manual_seed(epoch)
        apart = torch.cat([halves[ALL[1::2]][0], halves[ALL[::2]][0]])
        assert torch.equal(whole[torch.tensor([1, 3, 5, 0, 2, 4])][0], apart)
    first = pictures(shift=1)[ALL][0]
    assert not torch.equal(first, pictures(shift=1, seed=1)[ALL][0])


def test_batches_move_on_with_the_epoch():
    loader = batches(IMAGES, LABELS, 4, seed=0, shift=1)
    first = torch.cat([images for images, _ in loader])
    loader.sampler.set_epoch(1)
    second = torch.cat([images for images, _ in loader])
    assert not torch.equal(first.sort(0)[0], second.sort(0)[0])


@pytest.mark.parametrize(("images", "shift"), [(torch.zeros(3, 8), 1), (torch.zeros(3, 1, 4, 4), 4)])
def test_what_cannot_be_moved(images, shift):
    with pytest.raises(InputError, match=rf"A shift of {shift} pixels cannot be made"):
        batches(images, torch.zeros(3), 2, shift=shift)
