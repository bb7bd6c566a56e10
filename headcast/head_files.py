"""Files that the user obtains: what they are, where they lie, where to get them, under which licence; no science, no reading.

One list a head model: each entry is a group of alternatives, of which the first that lies there is used; an optional group may be
empty. Nothing of this is shipped or downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headcast import layout
from headcast.errors import AssetMissing

FLAME_SITE = "register and download at https://flame.is.tue.mpg.de"
FLAME_LICENCE = "FLAME model licence (Max Planck; non-commercial research, no redistribution)"
FLAME_2020_SHA256 = "efcd14cc4a69f3a3d9af8ded80146b5b6b50df3bd74cf69108213b144eba725b"


@dataclass(frozen=True)
class UserFile:
    """A file that a model may use; ``redistributable`` when its licence lets a derived basis travel in an avatar."""

    path: str
    what: str
    source: str
    licence: str
    redistributable: bool = False
    sha256: str | None = None


@dataclass(frozen=True)
class Group:
    """Alternatives for one purpose, best first; each alternative is one file or several that belong together."""

    role: str
    alternatives: tuple[tuple[UserFile, ...], ...]
    required: bool = True


def _flame(file: str, what: str, source: str = FLAME_SITE, licence: str = FLAME_LICENCE, **more: bool | str) -> UserFile:
    return UserFile(layout.flame_asset.format(file=file), what, source, licence, **more)  # type: ignore[arg-type]


FLAME_MODELS = (
    (_flame("flame2023_Open.pkl", "the FLAME 2023 Open model", licence="CC-BY-4.0", redistributable=True),),
    (_flame("flame2023.pkl", "the FLAME 2023 model"),),
    (_flame("generic_model.pkl", "the FLAME 2017, 2019 or 2020 model"),),
)
FLAME_LANDMARKS = (
    (_flame("landmark_embedding_with_eyes.npy", "FLAME's 68 landmarks and irises", "the VHAP or NHA repository's FLAME assets"),),
    (
        _flame("flame_static_embedding.pkl", "FLAME's 51 inner landmarks", "the RingNet repository, folder flame_model"),
        _flame("flame_dynamic_embedding.npy", "FLAME's jaw contour", "the RingNet repository, folder flame_model"),
    ),
)
BFM = UserFile(
    layout.bfm_asset,
    "the Basel Face Model 2009 with expressions (80 + 64)",
    "request BFM 2009 at https://faces.dmi.unibas.ch and convert it as the 3DMM-Fitting-Pytorch repository describes",
    "Basel Face Model licence (non-commercial, no redistribution)",
)
ICT_LICENCE = "MIT (USC Institute for Creative Technologies)"
ICT = (
    UserFile(
        layout.ict_asset.format(file="ict_facekit_light_f32.npz"),
        "the ICT-FaceKit light model as one npz",
        "pack the FaceXModel folder of https://github.com/ICT-VGL/ICT-FaceKit as docs/head_models.md describes",
        ICT_LICENCE,
        redistributable=True,
    ),
    UserFile(
        layout.ict_asset.format(file="vertex_indices.json"),
        "ICT-FaceKit's index table",
        "copy it from the FaceXModel folder of https://github.com/ICT-VGL/ICT-FaceKit",
        ICT_LICENCE,
        redistributable=True,
    ),
)
HEAD_MODELS: dict[str, tuple[Group, ...]] = {
    "open": (),
    "flame": (
        Group("model", FLAME_MODELS),
        Group("landmarks", FLAME_LANDMARKS),
        Group("masks", ((_flame("FLAME_masks.pkl", "FLAME's vertex masks"),),), required=False),
        Group("dense", ((_flame("mediapipe_landmark_embedding.npz", "105 FaceMesh points on FLAME"),),), required=False),
    ),
    "bfm": (Group("model", ((BFM,),)),),
    "ict": (Group("model", (ICT,)),),
}


def head_assets(model: str, root: Path = Path()) -> dict[str, tuple[UserFile, ...]]:
    """The files of a head model that lie under ``root``, by role. ``AssetMissing`` names the first that has to be obtained."""
    found = {group.role: _present(group, root) for group in HEAD_MODELS[model]}
    return {role: assets for role, assets in found.items() if assets}


def _present(group: Group, root: Path) -> tuple[UserFile, ...]:
    for assets in group.alternatives:
        if all((root / asset.path).is_file() for asset in assets):
            return assets
    if not group.required:
        return ()
    wanted = next((a for a in group.alternatives if any((root / asset.path).is_file() for asset in a)), group.alternatives[-1])
    missing = next(asset for asset in wanted if not (root / asset.path).is_file())
    names = " or ".join(" with ".join(Path(asset.path).name for asset in assets) for assets in group.alternatives)
    raise AssetMissing(
        root / missing.path,
        f"{missing.what} is not there" + (f" (any of {names} will do)" if len(group.alternatives) > 1 else ""),
        f"{missing.source}; licence: {missing.licence}",
    )
