"""Jobs made lighter are the same jobs to Snakemake, and the plan is made without what only the stages need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake.api  # first: the modules below import each other
import snakemake.dag
from snakemake.io import IOFile, is_flagged, temp
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Wildcards

from headcast.workflow.lean import _lightening, lighten_jobs

from .test_plan import AVATAR, ROOT, config, jobs
from .test_plan import snakemake as run

DAG = snakemake.dag.DAG
KNOWN = {"subject": "017", "sequence": "HAIR"}
IMAGES, MATTES = "results/{subject}/{sequence}/images/manifest.json", "results/{subject}/{sequence}/mattes/manifest.json"
STAGES_ONLY = ("numpy", "torch", "av", "cv2", "PIL", "scipy", "jaxtyping", "mediapipe", "warp", "pymatting", "h5py")


def planned_job(named: str = "images") -> SimpleNamespace:
    """A job as Snakemake makes it: an input, a flagged output, a log, no benchmark."""
    files = [IOFile(pattern, rule=None).apply_wildcards(KNOWN) for pattern in (IMAGES, temp(MATTES))]
    input, output = InputFiles(files[:1]), OutputFiles(files[1:])
    input._set_name(named, 0)
    return SimpleNamespace(input=input, output=output, log=Log(), benchmark=None, wildcards=Wildcards(fromdict=KNOWN))


def test_a_lighter_job_has_the_same_files_flags_and_names() -> None:
    lighten = _lightening(lambda dag, job: None)
    whole, first, second = planned_job(), planned_job(), planned_job()
    for job in (first, second):
        lighten(None, job)
    for before, after in ((whole.input, first.input), (whole.output, first.output)):
        assert list(before) == list(after) and hash(before) == hash(after)
        assert [hash(file) for file in before] == [hash(file) for file in after]
        assert [file.flags for file in before] == [file.flags for file in after]
        assert dict(before.items()) == dict(after.items())
    assert is_flagged(first.output[0], "temp") and not is_flagged(first.input[0], "temp")
    assert first.wildcards.subject == "017"
    assert first.input[0]._file is second.input[0]._file is not whole.input[0]._file
    assert type(first.input[0]._file) is str and first.input.sort is second.output.sort is not whole.input.sort


def test_what_snakemake_forbids_stays_forbidden_and_an_item_may_be_called_so() -> None:
    lighten = _lightening(lambda dag, job: None)
    plain, odd = planned_job(), planned_job(named="sort")
    lighten(None, plain)
    lighten(None, odd)
    with pytest.raises(AttributeError, match="index"):
        plain.input.index(0)
    with pytest.raises(AttributeError, match="sort"):
        plain.input.sort()
    assert odd.input.sort == odd.input[0]


def test_it_is_done_once_and_not_at_all_where_snakemake_is_built_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DAG, "cache_job", DAG.cache_job)
    lighten_jobs()
    once = DAG.cache_job
    lighten_jobs()
    assert DAG.cache_job is once and once.lightens
    seen = []
    _lightening(lambda dag, job: seen.append(job))(None, "a job without any list")
    assert seen == ["a job without any list"]
    monkeypatch.delattr(DAG, "cache_job")
    lighten_jobs()
    assert not hasattr(DAG, "cache_job")


@pytest.mark.workflow
def test_the_plan_is_made_without_arrays_decoders_and_networks(tmp_path: Path) -> None:
    """Whoever imports one of them while the plan is made gets an error; so would users of a scheduler's small environment."""
    refused = f"import sys; sys.modules.update(dict.fromkeys({STAGES_ONLY})); from snakemake.cli import main; main(sys.argv[1:])"
    arguments = ["--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "-n", *config(), AVATAR, "results/summary.html"]
    done = subprocess.run([sys.executable, "-c", refused, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = run("-n", *config(), AVATAR, "results/summary.html", folder=tmp_path)
    assert jobs(done.stdout + done.stderr) == jobs(whole.stdout + whole.stderr)
