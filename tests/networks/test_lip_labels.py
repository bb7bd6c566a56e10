"""CDGNet's classes as labels: what becomes of each class, mirror images, sizes, and consistency with the matte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from headcast.imaging.labels import BACKGROUND, BODY, FACE, HAIR, compose
from headcast.networks import lip_labels
from headcast.networks.lip_labels import LipParser, load, shares, unmirrored


@pytest.fixture(scope="module")
def parser(checkpoint: Callable[[str], Path]) -> LipParser:
    return load(checkpoint("cdgnet"))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network at a size that a test can wait for."""
    monkeypatch.setattr(lip_labels, "SIDE", 97)


def picture(side: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def certain(*classes: int) -> torch.Tensor:
    """A picture of one row whose pixels are surely of ``classes``."""
    return torch.eye(20)[:, list(classes)][None, :, None]


def test_each_class_of_lip_becomes_what_it_shows() -> None:
    hair, face = (share[0, 0] for share in shares(certain(*range(20))))
    assert [k for k in range(20) if hair[k] == 1] == [2]
    assert [k for k in range(20) if face[k] == 1] == [4, 13]
    found = compose(hair.numpy()[None], face.numpy()[None] > 0.5, np.ones((1, 20), np.float32)).labels[0]
    assert found[2] == HAIR and found[13] == FACE and set(np.delete(found, [2, 4, 13])) == {BODY}


def test_the_matte_decides_what_is_person_and_the_network_only_what_of_the_person() -> None:
    probabilities = 0.9 * certain(0, 0, 0) + 0.1 * certain(2, 13, 5)
    hair, face = shares(probabilities)
    torch.testing.assert_close(hair[0, 0], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(face[0, 0], torch.tensor([0.0, 1.0, 0.0]))


def test_left_and_right_change_places_in_the_mirror() -> None:
    scores = torch.randn(1, 20, 3, 5)
    mirrored = unmirrored(scores)
    assert torch.equal(unmirrored(mirrored), scores)
    for left, right in ((14, 15), (16, 17), (18, 19)):
        assert torch.equal(mirrored[:, left], scores[:, right].flip(-1))
    assert torch.equal(mirrored[:, 13], scores[:, 13].flip(-1))


def test_a_mirrored_picture_gives_mirrored_scores(parser: LipParser) -> None:
    image = picture()
    scores, mirrored = parser.scores([image]), parser.scores([np.ascontiguousarray(image[:, ::-1])])
    assert scores.shape == (1, 20, 97, 97) and scores.isfinite().all()
    torch.testing.assert_close(mirrored, unmirrored(scores), atol=1e-3 * float(scores.std()), rtol=1e-3)
    assert not torch.allclose(mirrored, scores.flip(-1))


@pytest.mark.parametrize("side", [64, 128])
def test_labels_stay_inside_the_matte_and_come_again_bit_for_bit(side: int, parser: LipParser) -> None:
    images = [picture(side), picture(side, 1)]
    y, x = np.mgrid[:side, :side] / side - 0.5
    alpha = np.clip(4 - 10 * np.hypot(x, y), 0, 1).astype(np.float32)
    found, again = parser.labels(images, [alpha, alpha]), parser.labels(images, [alpha, alpha])
    for labels, same in zip(found, again, strict=True):
        assert labels.labels.shape == labels.hair.shape == (side, side)
        assert labels.labels.dtype == np.uint8 and labels.hair.dtype == np.float32
        assert (labels.hair >= 0).all() and (labels.hair <= alpha).all()
        assert ((labels.labels == BACKGROUND) == (alpha < 0.5)).all()
        assert np.array_equal(labels.labels, same.labels) and np.array_equal(labels.hair, same.hair)
    alone = parser.labels(images[1:], [alpha])[0]
    assert (alone.labels == found[1].labels).mean() > 0.999


def test_hair_goes_over_face_and_face_over_body() -> None:
    alpha = np.array([[1, 1, 1, 0.4, 0.6]], np.float32)
    hair = np.array([[0.9, 0.2, 0, 1, 0.6]], np.float32)
    found = compose(hair, np.array([[True, True, False, True, False]]), alpha)
    assert found.labels.tolist() == [[HAIR, FACE, BODY, BACKGROUND, HAIR]]
    np.testing.assert_allclose(found.hair, hair * alpha)
