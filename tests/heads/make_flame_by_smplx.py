"""Make `flame_by_smplx.npz`: what `smplx` (0.1.28, pip install smplx) computes for the random model of `flame_files`.

python -m tests.heads.make_flame_by_smplx
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from tests.heads.flame_files import SEED, random_embeddings, random_model, write_flame

FRAMES = 6


def parameters() -> dict[str, np.ndarray]:
    """Seeded identity, expression and joint rotations."""
    rng = np.random.default_rng(SEED + 2)
    sizes = {"betas": 100, "expression": 50, "global_orient": 3, "neck_pose": 3, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}
    found = {name: rng.normal(size=(FRAMES, size)) * (1.0 if size > 3 else 0.3) for name, size in sizes.items()}
    found["global_orient"][:, 1] = np.radians([-70.0, -20.0, -0.2, 0.3, 25.0, 60.0])
    return found


def main() -> None:
    """Run smplx on the random model and keep its vertices and landmarks."""
    import smplx  # not needed to test against what it said

    given = parameters()
    with tempfile.TemporaryDirectory() as folder:
        path = write_flame(Path(folder), random_model(), *random_embeddings())
        path.rename(path.with_name("FLAME_NEUTRAL.pkl"))
        model = smplx.FLAME(
            folder, num_betas=100, num_expression_coeffs=50, batch_size=FRAMES, dtype=torch.float64, use_face_contour=True
        )
        found = model(**{name: torch.from_numpy(value) for name, value in given.items()}, return_verts=True)
    joints = 5
    np.savez_compressed(
        Path(__file__).with_name("flame_by_smplx.npz"),
        vertices=found.vertices.detach().numpy(),
        inner=found.joints.detach().numpy()[:, joints : joints + 51],
        contour=found.joints.detach().numpy()[:, joints + 51 :],
    )


if __name__ == "__main__":
    main()
