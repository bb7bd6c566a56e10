"""Files that a user may put where a checkpoint belongs: the right one in every wrapping, and everything else in one line."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from headcast.errors import AssetMissing, BadFile
from headcast.networks.background_matting import BackgroundMatting
from headcast.networks.cdgnet import Cdgnet
from headcast.networks.modnet import Modnet
from headcast.networks.weights import load_weights, unwrapped

from .checkpoints import SPECS, filled, modnet

BUILDS = {"background_matting_v2": BackgroundMatting, "modnet": Modnet, "cdgnet": Cdgnet}


@pytest.mark.parametrize("name", SPECS)
def test_names_and_shapes_are_those_of_the_published_checkpoint(name: str) -> None:
    with torch.device("meta"):
        network = BUILDS[name]()
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert own == {key.removeprefix("module."): shape for key, shape in SPECS[name]().items()}


class Runs:
    """A pickle that does something when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.trace,)


def state() -> dict[str, torch.Tensor]:
    return filled(modnet())


def without_a_layer() -> dict[str, torch.Tensor]:
    return {name: value for name, value in state().items() if "conv_f2x" not in name}


def widened() -> dict[str, torch.Tensor]:
    return state() | {"module.f_branch.conv_f2x.layers.0.weight": torch.zeros(32, 64, 5, 5)}


def not_finite() -> dict[str, torch.Tensor]:
    return state() | {"module.f_branch.conv_f2x.layers.0.bias": torch.full((32,), torch.nan)}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (without_a_layer, "another network than MODNet: it holds no f_branch.conv_f2x.layers.0.weight ("),
        (lambda: state() | {"module.fc.weight": torch.zeros(2)}, "fc.weight, which MODNet has not"),
        (widened, "f_branch.conv_f2x.layers.0.weight has shape (32, 64, 5, 5), expected (32, 64, 3, 3)"),
        (not_finite, "not finite"),
        (lambda: {"epoch": 3, "state_dict": state()}, "no table of tensors"),
        (lambda: torch.zeros(3), "no table of tensors"),
        (dict, "another network than MODNet"),
    ],
)
def test_another_content_is_named_with_what_was_expected(content: Callable[[], object], says: str, tmp_path: Path) -> None:
    path = tmp_path / "modnet.ckpt"
    torch.save(content(), path)
    with pytest.raises(BadFile) as caught:
        load_weights(Modnet, path, "MODNet")
    found = str(caught.value)
    assert found.startswith(f"{path}: ") and says in found and "\n" not in found
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "cut, damaged"),
        (bytes(range(256)) * 8, "cut, damaged"),
    ],
)
def test_another_file_is_named_as_what_it_is(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "modnet.ckpt"
    path.write_bytes(data)
    with pytest.raises(BadFile, match=says):
        load_weights(Modnet, path, "MODNet")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_cut_file_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "modnet.ckpt"
    torch.save(state(), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadFile, match="cut, damaged"):
        load_weights(Modnet, path, "MODNet")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_does_not_run(zipped: bool, tmp_path: Path) -> None:
    path, trace = tmp_path / "modnet.ckpt", tmp_path / "trace"
    if zipped:
        torch.save({"module.x": Runs(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"module.x": Runs(trace)}))
    with pytest.raises(BadFile, match="more than plain tensors"):
        load_weights(Modnet, path, "MODNet")
    assert not trace.exists()


def test_a_file_that_unpacks_to_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path, packed = tmp_path / "modnet.ckpt", tmp_path / "packed.ckpt"
    torch.save({name: torch.zeros_like(value) for name, value in state().items()}, path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as smaller:
        for name in archive.namelist():
            smaller.writestr(name, archive.read(name))
    with pytest.raises(BadFile, match="cut, damaged"):
        load_weights(Modnet, packed, "MODNet")


def test_a_missing_file_says_where_to_read_about_it(tmp_path: Path) -> None:
    with pytest.raises(AssetMissing, match=r"docs/own_weights\.md"):
        load_weights(Modnet, tmp_path / "none.ckpt", "MODNet")


class Wrapped(nn.Module):
    """As scripted exports hold a network."""

    def __init__(self, network: Modnet) -> None:
        super().__init__()
        self.model = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class Restored(nn.Module):
    """A scripted network that computes when it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.weight = state[0] + 1
        self.training = state[1]


def test_an_archive_that_would_run_on_loading_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scripted.pth"
    torch.jit.script(Restored()).save(str(path))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("was loaded"))
    with pytest.raises(BadFile, match="cut, damaged or holds more than plain tensors"):
        load_weights(Modnet, path, "MODNet")


def test_every_wrapping_of_the_same_weights_is_the_same_network(tmp_path: Path) -> None:
    plain = {name.removeprefix("module."): value for name, value in state().items()}
    without_counters = {name: value for name, value in state().items() if "num_batches" not in name}
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    results = []
    for number, content in enumerate((state(), plain, without_counters)):
        torch.save(content, tmp_path / f"{number}.ckpt")
        network = load_weights(Modnet, tmp_path / f"{number}.ckpt", "MODNet")
        assert not network.training and not any(p.requires_grad for p in network.parameters())
        results.append(network(x))
    torch.jit.trace(Wrapped(network), x).save(str(tmp_path / "scripted.pth"))
    results.append(load_weights(Modnet, tmp_path / "scripted.pth", "MODNet")(x))
    torch.save(state(), tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    results.append(load_weights(Modnet, tmp_path / "old.ckpt", "MODNet")(x))
    assert all(torch.equal(result, results[0]) for result in results[1:])


def test_only_a_prefix_of_all_names_is_a_wrapper() -> None:
    some = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert unwrapped(some) == some
    assert set(unwrapped({"module.a": torch.zeros(1)})) == {"a"}
