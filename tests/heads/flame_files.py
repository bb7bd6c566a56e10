"""Small files in FLAME's formats, made of random numbers: what the readers and the skinning are tested on."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

VERTICES, TRIANGLES, COMPONENTS = 60, 90, 400
SEED = 20261127


def random_model(seed: int = SEED) -> dict[str, Any]:
    """The arrays of a model pickle with FLAME's shapes and joints but few vertices."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(5, 0.3), VERTICES)
    regressor = rng.dirichlet(np.full(VERTICES, 0.05), 5)
    regressor[regressor < 1e-3] = 0.0
    faces = np.array([rng.choice(VERTICES, 3, replace=False) for _ in range(TRIANGLES)], dtype=np.uint32)
    return {
        "v_template": rng.normal(size=(VERTICES, 3)) * 0.1,
        "shapedirs": rng.normal(size=(VERTICES, 3, COMPONENTS)) * 0.003,
        "posedirs": rng.normal(size=(VERTICES, 3, 36)) * 0.002,
        "J_regressor": scipy.sparse.csc_matrix(regressor / regressor.sum(axis=1, keepdims=True)),
        "weights": weights,
        "f": faces,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.uint32),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def random_embeddings(seed: int = SEED, triangles: int = TRIANGLES) -> tuple[dict[str, Any], dict[str, Any]]:
    """The dicts of `flame_static_embedding.pkl` and `flame_dynamic_embedding.npy`."""
    rng = np.random.default_rng(seed + 1)
    static = {"lmk_face_idx": rng.integers(0, triangles, 51), "lmk_b_coords": rng.dirichlet(np.ones(3), 51)}
    dynamic = {"lmk_face_idx": rng.integers(0, triangles, (79, 17)), "lmk_b_coords": rng.dirichlet(np.ones(3), (79, 17))}
    return static, dynamic


def write_flame(folder: Path, model: dict[str, Any], static: dict[str, Any], dynamic: dict[str, Any]) -> Path:
    """Write the three files into ``folder`` under their usual names; returns the model's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "generic_model.pkl").write_bytes(pickle.dumps(model, 2))
    (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(static, 2))
    np.save(folder / "flame_dynamic_embedding.npy", np.array(dynamic, dtype=object), allow_pickle=True)
    return folder / "generic_model.pkl"


def with_chumpy(model: dict[str, Any]) -> bytes:
    """The pickle of a model whose arrays are chumpy objects, as the official files of 2017 to 2023 hold them."""
    modules = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    plain = type("Ch", (), {"__module__": "chumpy.ch"})
    select = type("Select", (), {"__module__": "chumpy.reordering"})
    modules["chumpy.ch"].Ch, modules["chumpy.reordering"].Select = plain, select  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        wrapped = dict(model)
        for name in ("v_template", "posedirs"):
            wrapped[name] = _filled(plain(), x=model[name], _dirty_vars={"x"}, _itr=None)
        whole = _filled(plain(), x=np.concatenate([model["shapedirs"].ravel(), np.zeros(5)]))
        count = model["shapedirs"].size
        wrapped["shapedirs"] = _filled(select(), a=whole, idxs=np.arange(count), preferred_shape=model["shapedirs"].shape)
        return pickle.dumps(wrapped, 2)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})


def _filled(target: Any, **state: Any) -> Any:
    vars(target).update(state)
    return target
