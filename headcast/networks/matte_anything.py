"""Labels by text: Yao et al., "Matte Anything", 2024. GroundingDINO boxes the words, SAM cuts them out, ViTMatte solves the hair.

An adapter over the `transformers` package of the user (Apache-2.0). Folders of weights are read as safetensors only: nothing is
downloaded, no code comes with a folder.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from headcast.errors import AssetMissing, BadFile
from headcast.imaging.guided import at_size_of
from headcast.imaging.labels import Labels, compose
from headcast.networks.runtime import place

logger = logging.getLogger(__name__)

HAIR, FACE = "hair.", "face."  # GroundingDINO wants lower case and a full stop
BOX_SCORE, TEXT_SCORE = 0.3, 0.25
SIDE = 1024  # px of the longer side at which everything is solved
BAND = 0.02  # of that side: half width of the trimap's unknown band about SAM's outline
UNKNOWN, SURE = 128, 255
SHARPNESS = 1e-4
SEEN = 1e-2  # alpha below which the share of hair says nothing


class TextParser:
    """Labels of views by three networks, each with what prepares its input."""

    def __init__(self, detector: tuple[Any, Any], segmenter: tuple[Any, Any], matter: tuple[Any, Any]) -> None:
        """Pairs of processor and model, as `transformers` gives them."""
        self._detector, self._segmenter, self._matter = detector, segmenter, matter

    @torch.inference_mode()
    def labels(self, images: Sequence[UInt8[np.ndarray, "H W 3"]], alphas: Sequence[Float[np.ndarray, "H W"]]) -> list[Labels]:
        """Labels of sRGB images inside their mattes in [0, 1]; a word that is not found in a view labels nothing there."""
        return [self._label(image, alpha) for image, alpha in zip(images, alphas, strict=True)]

    def _label(self, image: UInt8[np.ndarray, "H W 3"], alpha: Float[np.ndarray, "H W"]) -> Labels:
        scale = min(1.0, SIDE / max(image.shape[:2]))
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        face, outline = self._cut_out(small, FACE), self._cut_out(small, HAIR)
        strands = self._matte(small, outline) if outline.any() else np.zeros(outline.shape, np.float32)
        hair, visage = (at_size_of(image, share, SHARPNESS) for share in (strands, face.astype(np.float32)))
        return compose(np.clip(hair / np.maximum(alpha, SEEN), 0, 1), visage > 0.5, alpha)

    def _cut_out(self, image: UInt8[np.ndarray, "h w 3"], word: str) -> Bool[np.ndarray, "h w"]:
        """SAM's mask in the likeliest box of a word; empty where the word is not found."""
        processor, model = self._detector
        given = processor(images=image, text=word, return_tensors="pt").to(model.device)
        shape = image.shape[:2]
        (found,) = processor.post_process_grounded_object_detection(
            model(**given), given["input_ids"], BOX_SCORE, TEXT_SCORE, [shape]
        )
        if not len(found["scores"]):
            logger.info("no %s found in a view", word.rstrip("."))
            return np.zeros(shape, bool)
        box = found["boxes"][int(found["scores"].argmax())].tolist()
        processor, model = self._segmenter
        given = processor(image, input_boxes=[[box]], return_tensors="pt").to(model.device)
        masks = model(**given, multimask_output=False).pred_masks.cpu()
        sizes = (given["original_sizes"].cpu(), given["reshaped_input_sizes"].cpu())
        return processor.post_process_masks(masks, *sizes)[0][0, 0].numpy().astype(bool)

    def _matte(self, image: UInt8[np.ndarray, "h w 3"], outline: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
        """Alpha of the hair by ViTMatte, unknown in a band about the outline."""
        processor, model = self._matter
        given = processor(images=image, trimaps=trimap(outline), return_tensors="pt").to(model.device)
        alpha = model(**given).alphas[0, 0].float().cpu().numpy()
        return np.clip(alpha[: image.shape[0], : image.shape[1]], 0, 1)


def trimap(outline: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """0 outside, 255 inside, 128 in a band about the outline that grows with the picture."""
    radius = max(1, round(BAND * max(outline.shape)))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    solid = outline.astype(np.uint8)
    return np.where(cv2.erode(solid, disk) > 0, SURE, np.where(cv2.dilate(solid, disk) > 0, UNKNOWN, 0)).astype(np.uint8)


def load(detector: Path, segmenter: Path, matter: Path) -> TextParser:
    """The three networks from the folders that their weight files lie in; raises ``AssetMissing`` or ``BadFile``."""
    import transformers  # the user's, seconds to import; that it is there has been asked before

    return TextParser(
        _pair(transformers.GroundingDinoProcessor, transformers.GroundingDinoForObjectDetection, detector, "GroundingDINO"),
        _pair(transformers.SamProcessor, transformers.SamModel, segmenter, "SAM"),
        _pair(transformers.VitMatteImageProcessor, transformers.VitMatteForImageMatting, matter, "ViTMatte"),
    )


def _pair(processor: Any, model: Any, weights: Path, what: str) -> tuple[Any, Any]:
    """Processor and model of a folder, in evaluation mode; weights that do not fit the folder's configuration are refused."""
    todo = "copy the whole folder from its authors' model page (docs/own_weights.md)"
    if not weights.is_file():
        raise AssetMissing(weights, f"the weights of {what} are not there", todo)
    folder = str(weights.parent)
    try:
        prepare = processor.from_pretrained(folder, local_files_only=True)
        network, said = model.from_pretrained(folder, local_files_only=True, use_safetensors=True, output_loading_info=True)
    except Exception as error:  # the package promises no type
        raise BadFile(weights, f"is not {what} as its folder describes it ({' '.join(str(error).split())[:200]})", todo) from error
    wrong = [*said["missing_keys"], *said["mismatched_keys"]]
    if wrong:
        raise BadFile(weights, f"is another network than {what}: it holds no fitting {wrong[0]} ({len(wrong)} in all)", todo)
    return prepare, place(network.eval())
