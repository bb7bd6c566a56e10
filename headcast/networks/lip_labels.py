"""Hair, face and body from CDGNet's classes of LIP (Liang et al., "Look into person", TPAMI 2019), several sizes and mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from headcast.imaging.guided import at_size_of
from headcast.imaging.labels import Labels, compose
from headcast.networks.cdgnet import Cdgnet
from headcast.networks.runtime import pictures, place
from headcast.networks.weights import load_weights

NAME = "CDGNet (LIP)"
SIDE = 473
SCALES = (0.75, 1.0, 1.25)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # taken from blue, green, red in this order, as in training
HAIR, FACE = (2,), (4, 13)  # hair; sunglasses and face
BACKGROUND = 0
LEFT_RIGHT = ((14, 15), (16, 17), (18, 19))  # arms, legs, shoes
SHARPNESS = 1e-3  # variance of the guide that counts as an edge when shares are enlarged
UNSEEN = 1e-3  # where all classes of the person together have less, the network saw nobody: what the matte holds there is body


class LipParser:
    """Labels of views by CDGNet."""

    def __init__(self, network: Cdgnet) -> None:
        self._network = network

    @torch.inference_mode()
    def scores(self, images: Sequence[UInt8[np.ndarray, "H W 3"]]) -> Float[Tensor, "B 20 h w"]:
        """Scores of the 20 classes at the network's size: the mean over `SCALES` and over each picture and its mirror image."""
        batch = pictures(self._network, images).flip(1)
        batch = F.interpolate(batch, (SIDE, SIDE), mode="bilinear", antialias=True)
        batch = (batch - batch.new_tensor(MEAN)[:, None, None]) / batch.new_tensor(DEVIATION)[:, None, None]
        total = torch.zeros(())
        for scale in SCALES:
            side = int(SIDE * scale)
            sized = F.interpolate(batch, (side, side), mode="bilinear", align_corners=True)
            both = self._network(sized) + unmirrored(self._network(sized.flip(-1)))
            total = total.to(both) + F.interpolate(both, (SIDE, SIDE), mode="bilinear", align_corners=True)
        return total / (2 * len(SCALES))

    def labels(self, images: Sequence[UInt8[np.ndarray, "H W 3"]], alphas: Sequence[Float[np.ndarray, "H W"]]) -> list[Labels]:
        """Labels of square sRGB images of one size inside their mattes in [0, 1]."""
        hair, face = (share.cpu().numpy() for share in shares(torch.softmax(self.scores(images), 1)))
        found = []
        for image, alpha, of_hair, of_face in zip(images, alphas, hair, face, strict=True):
            large = [at_size_of(image, share, SHARPNESS) for share in (of_hair, of_face)]
            found.append(compose(large[0], large[1] > 0.5, alpha))
        return found


def unmirrored(scores: Float[Tensor, "B 20 h w"]) -> Float[Tensor, "B 20 h w"]:
    """Scores of a mirrored picture as those of the picture: columns turned round, left parts exchanged with right ones."""
    order = list(range(scores.shape[1]))
    for left, right in LEFT_RIGHT:
        order[left], order[right] = right, left
    return scores[:, order].flip(-1)


def shares(probabilities: Float[Tensor, "B 20 h w"]) -> tuple[Float[Tensor, "B h w"], Float[Tensor, "B h w"]]:
    """How much of the person at each pixel is hair and how much face; the matte has decided how much is person."""
    person = 1 - probabilities[:, BACKGROUND]
    hair, face = probabilities[:, list(HAIR)].sum(1), probabilities[:, list(FACE)].sum(1)
    seen = person > UNSEEN
    return torch.where(seen, hair / person.clamp(min=UNSEEN), 0), torch.where(seen, face / person.clamp(min=UNSEEN), 0)


def load(weights: Path) -> LipParser:
    """The network with the weights of ``weights``; raises ``AssetMissing`` or ``BadFile``."""
    return LipParser(place(load_weights(Cdgnet, weights, NAME)))
