"""Which view counts where, on what it is composited, and that nothing leaks between views."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from headcast.errors import CaptureError
from headcast.evaluation.metrics import psnr, temporal_iou
from headcast.evaluation.protocol import EvaluatedView, composite_on_black, score_view, score_views


def hair_mask(left: int) -> torch.Tensor:
    mask = torch.zeros(32, 40)
    mask[5:20, left : left + 12] = 1.0
    return mask


def view(camera: str = "b", frame: int = 0, shift: int = 0, held: tuple[bool, bool] = (True, False)) -> EvaluatedView:
    random = torch.Generator().manual_seed(frame)
    truth = torch.rand(32, 40, 3, generator=random)
    matte = torch.zeros(32, 40)
    matte[:, 5:35] = 1.0
    image = (truth * matte[..., None] + 0.05).clamp(0, 1)
    return EvaluatedView(
        camera, "HAIR", frame, image, truth, matte, hair_mask(6 + frame + shift), hair_mask(6 + frame), *held, seconds=0.5
    )


def test_the_truth_is_composited_on_black_with_the_matte() -> None:
    one = view()
    perfect = replace(one, image=composite_on_black(one.truth, one.matte))
    score = score_view(perfect)
    assert score.psnr == math.inf
    assert score.flip == 0.0
    assert score.ssim == pytest.approx(1.0)
    assert float(composite_on_black(one.truth, one.matte)[:, :5].max()) == 0.0


def test_subject_figures_ignore_the_background() -> None:
    one = view()
    spoiled = one.image.clone()
    spoiled[:, :5] = 1.0
    clean, dirty = score_view(one), score_view(replace(one, image=spoiled))
    assert dirty.psnr_subject == clean.psnr_subject
    assert dirty.psnr < clean.psnr - 3


def test_hair_figures_are_means_over_true_hair_pixels() -> None:
    one = view()
    truth = composite_on_black(one.truth, one.matte)
    assert score_view(one).hair_psnr == pytest.approx(psnr(one.image, truth, one.hair_truth))
    outside = one.image.clone()
    outside[25:] = 0.0
    assert score_view(replace(one, image=outside)).hair_psnr == score_view(one).hair_psnr


@pytest.mark.parametrize(
    ("held", "group"),
    [
        ((True, False), "held_out_cameras"),
        ((False, True), "held_out_frames"),
        ((True, True), "held_out_both"),
        ((False, False), "training"),
    ],
)
def test_a_view_belongs_to_one_group(held: tuple[bool, bool], group: str) -> None:
    assert score_view(view(held=held)).group == group


def test_temporal_figures_compare_consecutive_frames_of_one_camera() -> None:
    views = [view("a", 0), view("b", 0), view("a", 1, shift=2), view("b", 2)]
    scores = list(score_views(iter(views)))
    expected = temporal_iou((views[0].hair, views[2].hair), (views[0].hair_truth, views[2].hair_truth))
    assert scores[2].hair_temporal_iou == pytest.approx(expected)
    assert [math.isnan(score.hair_temporal_iou) for score in scores] == [True, True, False, True]


def test_absent_masks_and_networks_give_no_figure() -> None:
    score = score_view(replace(view(), hair=None, hair_truth=None))
    absent = (score.lpips, score.hair_psnr, score.hair_ssim, score.hair_flip, score.hair_iou, score.hair_temporal_iou)
    assert all(math.isnan(value) for value in absent)
    assert score_view(view(), lpips=lambda image, truth: 0.125).lpips == 0.125


def test_a_view_that_contradicts_itself_is_an_error_that_names_it() -> None:
    with pytest.raises(CaptureError, match=r"camera b frame 0: .*size"):
        replace(view(), matte=torch.zeros(3, 3))
    with pytest.raises(CaptureError, match="not finite"):
        replace(view(), image=torch.full((32, 40, 3), math.nan))
