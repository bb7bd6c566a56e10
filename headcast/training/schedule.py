"""How the training of head and hair proceeds, and how fast each parameter may change."""

from __future__ import annotations

from dataclasses import dataclass, field

from headcast.avatar.picture import CHANNELS
from headcast.avatar.super_resolution import FACTOR
from headcast.training.joint import Weights
from headcast.training.sharpening import SharpWeights

HEAD_RATES = {
    "offset": 4e-4,
    "log_scales": 1.6e-2,
    "quats": 6e-3,
    "logit_opacities": 6e-2,
    "color": 1.2e-2,
    "color_sh": 2e-3,
    "latent": 4e-3,
    "detail": 1e-2,
}
HAIR_RATES = {
    "free_points": 4e-4,
    "log_width": 2e-2,
    "color": 1.2e-2,
    "color_gradient": 8e-3,
    "color_sh": 2e-3,
    "logit_opacities": 4e-2,
    "logit_taper": 2e-2,
    "detail": 1e-2,
}
NETWORK_RATE = 1e-3
TWIST_RATE = 1e-4
LEAN_RATE = 2e-5


@dataclass(frozen=True)
class Schedule:
    """How the optimisation proceeds, in shares of ``steps`` where nothing else is said; ``views`` of them a step.

    ``track`` refines the pose of each training frame about the mean of all, so that frames which nobody refines still fit
    (demo at 512 px, 4,000 steps: held-out cameras +1.1 dB, held-out frames −0.1 dB). With ``supres`` Gaussians of ``channels``
    features are splatted at a quarter of ``size`` and a network draws the rest, on a GPU with bfloat16 where ``half`` is set.
    ``swing`` lets hair move against the skull; how stiff and damped it is gets learned at ``learn_swing``, over ``swing_views``
    views, when it is sharp enough to be seen moving. With ``lean`` its groom may also follow the turn of the head.
    """

    steps: int
    size: int
    views: int = 1
    seed: int = 0
    coarse: float = 0.75
    last_rate: float = 0.1
    move_every: int = 50
    move_first: float = 0.15
    move_last: float = 0.7
    move_most: float = 0.02
    faint: float = 0.08
    track: bool = True
    swing: bool = True
    lean: bool = False
    learn_swing: float = 0.4
    swing_views: int = 36
    supres: bool = False
    channels: int = 32
    half: bool = True
    weights: Weights = field(default_factory=Weights)
    sharp_weights: SharpWeights = field(default_factory=SharpWeights)

    @property
    def splatted(self) -> int:
        """The size at which Gaussians are drawn (px)."""
        return self.size // FACTOR if self.supres else self.size

    @property
    def detail(self) -> int:
        """Feature channels beyond those that every picture has."""
        return self.channels - CHANNELS if self.supres else 0
