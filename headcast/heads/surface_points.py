"""Surface points of a head as functions of identity and expression, with slopes: what a Gauss-Newton fit of landmarks needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float


class SurfacePoints(Protocol):
    """``L`` points in the model frame (m); rows that the topology has no place for are zero and not ``known``."""

    @property
    def known(self) -> Bool[np.ndarray, "L"]: ...

    def rest(self, identity: Float[np.ndarray, "I"]) -> Float[np.ndarray, "L 3"]: ...

    def points(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "F E"]) -> Float[np.ndarray, "F L 3"]: ...

    def slopes(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "E"]) -> Float[np.ndarray, "L 3 n"]: ...


@dataclass(frozen=True)
class PointBasis:
    """Points of a linear model: ``mean`` L 3, ``identity`` L 3 I, ``expression`` L 3 E (m, model frame); NaN rows are unknown."""

    mean: Float[np.ndarray, "L 3"]
    identity: Float[np.ndarray, "L 3 I"]
    expression: Float[np.ndarray, "L 3 E"]

    @cached_property
    def known(self) -> Bool[np.ndarray, "L"]:
        """Which points the topology has."""
        return np.isfinite(self.mean).all(axis=-1)

    def rest(self, identity: Float[np.ndarray, "I"]) -> Float[np.ndarray, "L 3"]:
        """The points of a neutral head."""
        return np.nan_to_num(self.mean + self.identity @ identity)

    def points(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "F E"]) -> Float[np.ndarray, "F L 3"]:
        """The points of an identity in the expressions of ``F`` frames."""
        units = self.expression.shape[2]
        offsets = expression @ np.nan_to_num(self.expression).reshape(-1, units).T
        return self.rest(identity)[None] + offsets.reshape(len(expression), -1, 3)

    def slopes(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "E"]) -> Float[np.ndarray, "L 3 n"]:
        """Derivatives by identity, then expression: the same everywhere."""
        return self._slopes

    @cached_property
    def _slopes(self) -> Float[np.ndarray, "L 3 n"]:
        return np.nan_to_num(np.concatenate([self.identity, self.expression], axis=2))
