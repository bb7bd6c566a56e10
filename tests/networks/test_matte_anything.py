"""The text adapter against stand-ins of the package's public interfaces, and against the package where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from headcast.errors import AssetMissing, BadFile
from headcast.imaging.labels import BACKGROUND, BODY, FACE, HAIR
from headcast.networks import matte_anything
from headcast.networks.matte_anything import TextParser, load, trimap

SIDE = 96
WORDS = {"hair.": (20, 10, 76, 40), "face.": (30, 40, 66, 70)}  # left, top, right, bottom


class Given(dict):  # type: ignore[type-arg]
    """What processors return: named tensors that move together."""

    def to(self, device: Any) -> Given:
        return self


class Model:
    device = torch.device("cpu")

    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer = answer

    def __call__(self, **given: Any) -> Any:
        return self._answer(**given)


class DetectorProcessor:
    """Knows where each word is; the model passes its question through."""

    def __init__(self, words: dict[str, tuple[int, int, int, int]]) -> None:
        self._words = words

    def __call__(self, images: np.ndarray, text: str, return_tensors: str) -> Given:
        assert images.dtype == np.uint8 and return_tensors == "pt" and text == text.lower() and text.endswith(".")
        return Given(input_ids=torch.zeros(1, 3), pixel_values=images, text=text)

    def post_process_grounded_object_detection(
        self, outputs: Any, input_ids: Any, threshold: float, text_threshold: float, target_sizes: Any
    ) -> list[dict[str, torch.Tensor]]:
        height, width = target_sizes[0]
        if outputs not in self._words:
            return [{"boxes": torch.zeros(0, 4), "scores": torch.zeros(0)}]
        box = torch.tensor(self._words[outputs]) * torch.tensor([width, height, width, height]) / SIDE
        return [{"boxes": torch.stack([torch.zeros(4), box]), "scores": torch.tensor([threshold + 0.1, 0.9])}]


class SegmenterProcessor:
    """SAM fills the whole box."""

    def __call__(self, images: np.ndarray, input_boxes: Any, return_tensors: str) -> Given:
        size = torch.tensor([images.shape[:2]])
        return Given(input_boxes=torch.tensor(input_boxes), original_sizes=size, reshaped_input_sizes=size)

    def post_process_masks(self, masks: torch.Tensor, original: torch.Tensor, reshaped: torch.Tensor) -> list[torch.Tensor]:
        height, width = original[0].tolist()
        left, top, right, bottom = (round(v) for v in masks[0, 0].tolist())
        filled = torch.zeros(1, 1, height, width, dtype=torch.bool)
        filled[..., top:bottom, left:right] = True
        return [filled]


def matter_processor(images: np.ndarray, trimaps: np.ndarray, return_tensors: str) -> Given:
    assert set(np.unique(trimaps)) <= {0, 128, 255}
    padded = [-length % 32 for length in trimaps.shape]
    return Given(pixel_values=torch.nn.functional.pad(torch.from_numpy(trimaps / 255.0)[None, None], (0, padded[1], 0, padded[0])))


def parser(words: dict[str, tuple[int, int, int, int]] = WORDS) -> TextParser:
    segmenter = Model(lambda input_boxes, multimask_output, **_: SimpleNamespace(pred_masks=input_boxes))
    matter = Model(lambda pixel_values: SimpleNamespace(alphas=pixel_values))
    detector = Model(lambda text, **_: text)
    return TextParser((DetectorProcessor(words), detector), (SegmenterProcessor(), segmenter), (matter_processor, matter))


def view(side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(0).integers(100, 140, (side, side, 3), dtype=np.uint8)
    alpha = np.zeros((side, side), np.float32)
    alpha[side // 12 : -side // 12, side // 6 : -side // 6] = 1
    return image, alpha


def test_words_become_labels_inside_the_matte() -> None:
    image, alpha = view()
    (found,) = parser().labels([image], [alpha])
    assert found.labels[20, 48] == HAIR and found.labels[55, 48] == FACE and found.labels[80, 48] == BODY
    assert found.labels[2, 48] == BACKGROUND and ((found.labels == BACKGROUND) == (alpha < 0.5)).all()
    assert (found.hair <= alpha).all() and found.hair[20, 48] == 1 and found.hair[80, 48] == 0
    edge = found.hair[10:40, 48]
    assert edge.min() < 0.6 < edge.max(), "the band about SAM's outline is what ViTMatte says"


def test_a_word_that_is_not_in_the_view_labels_nothing() -> None:
    image, alpha = view()
    (bald,) = parser({"face.": WORDS["face."]}).labels([image], [alpha])
    assert not bald.hair.any() and (bald.labels == FACE).any()
    (behind,) = parser({"hair.": WORDS["hair."]}).labels([image], [alpha])
    assert (behind.labels == HAIR).any() and not (behind.labels == FACE).any()


def test_large_views_are_solved_smaller_and_come_back_at_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matte_anything, "SIDE", SIDE)
    (large,) = parser().labels(*([part] for part in view(2 * SIDE)))
    (small,) = parser().labels(*([part] for part in view()))
    assert large.labels.shape == large.hair.shape == (2 * SIDE, 2 * SIDE)
    assert (large.labels[::2, ::2] == small.labels).mean() > 0.94


def test_the_trimap_s_band_grows_with_the_picture() -> None:
    outline = np.zeros((200, 200), bool)
    outline[50:150, 50:150] = True
    found = trimap(outline)
    assert found[100, 100] == 255 and found[10, 10] == 0
    assert (found[100, 46:54] == 128).all() and found[100, 40] == 0 and found[100, 60] == 255


class Loader:
    """A class of the package: ``from_pretrained`` says what it was asked."""

    asked: list[tuple[str, dict[str, Any]]] = []
    missing: list[str] = []

    @classmethod
    def from_pretrained(cls, folder: str, **options: Any) -> Any:
        cls.asked.append((folder, options))
        if not Path(folder, "config.json").exists():
            raise OSError(f"{folder} does not appear to have\na file named config.json")
        network = torch.nn.Linear(1, 1)
        said = {"missing_keys": cls.missing, "mismatched_keys": []}
        return (network, said) if options.pop("output_loading_info", False) else cls()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    stand_in = ModuleType("transformers")
    for name in ("GroundingDino", "Sam", "VitMatteImage"):
        setattr(stand_in, f"{name}Processor", Loader)
    for name in ("GroundingDinoForObjectDetection", "SamModel", "VitMatteForImageMatting"):
        setattr(stand_in, name, Loader)
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    monkeypatch.setattr(Loader, "asked", [])
    weights = [tmp_path / name / "model.safetensors" for name in ("grounding-dino", "sam", "vitmatte")]
    for path in weights:
        path.parent.mkdir()
        path.touch()
        (path.parent / "config.json").touch()
    return weights


def test_folders_are_read_locally_and_weights_only_as_safetensors(folders: list[Path]) -> None:
    assert isinstance(load(*folders), TextParser)
    assert {folder for folder, _ in Loader.asked} == {str(path.parent) for path in folders}
    assert all(options["local_files_only"] for _, options in Loader.asked)
    assert sum(options.get("use_safetensors", False) for _, options in Loader.asked) == 3
    assert not any("trust_remote_code" in options for _, options in Loader.asked)


def test_a_folder_that_is_not_whole_or_another_s_is_named(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (folders[1].parent / "config.json").unlink()
    with pytest.raises(BadFile, match="is not SAM as its folder describes it") as caught:
        load(*folders)
    assert "\n" not in str(caught.value)
    folders[1].unlink()
    with pytest.raises(AssetMissing, match="weights of SAM"):
        load(*folders)
    monkeypatch.setattr(Loader, "missing", ["encoder.weight"])
    with pytest.raises(BadFile, match=r"no fitting encoder\.weight"):
        load(*folders)


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is the user's")
def test_the_real_package_runs_small_random_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .small_transformers import write_folders

    monkeypatch.setattr(matte_anything, "BOX_SCORE", 0.0)
    monkeypatch.setattr(matte_anything, "TEXT_SCORE", 0.0)
    text_parser = load(*write_folders(tmp_path))
    image, alpha = view()
    found, again = (text_parser.labels([image], [alpha])[0] for _ in range(2))
    assert found.labels.shape == found.hair.shape == alpha.shape
    assert (found.hair <= alpha).all() and ((found.labels == BACKGROUND) == (alpha < 0.5)).all()
    assert np.array_equal(found.labels, again.labels) and np.array_equal(found.hair, again.hair)
