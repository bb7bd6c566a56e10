"""headcast: calibrated multi-view head captures → animatable Gaussian head avatars with strand hair."""

import gc
import sys

from snakemake.utils import min_version

min_version("9.20")
gc.set_threshold(200_000, 20, 20)  # a plan of many subjects is millions of objects that stay: looking for garbage costs a quarter of it

include: "rules/home.smk"

HERE = checkout(workflow.current_basedir)
sys.path.insert(0, str(HERE))

from headcast import layout as at
from headcast.config import NAME, load_config
from headcast.workflow.ancient import look_behind_ancient_inputs
from headcast.workflow.disk import check_disk
from headcast.workflow.fingerprint import code_hash
from headcast.head_files import HEAD_MODELS
from headcast.workflow.lean import lighten_jobs
from headcast.workflow.planning import Plan, doubling, one_line, pictured
from headcast.workflow.scheduler import lead_jobs, share_gpu, share_package, take_jobs_along

configfile: HERE / "workflow_config.yaml"
report: "rules/report/workflow.rst"

share_gpu()
with one_line():
    settings = load_config(config, home=HERE)
plan = Plan(settings, own_environments=bool(workflow.deployment_settings.deployment_method))
shell.prefix(share_package(HERE))
lead_jobs()
lighten_jobs()
look_behind_ancient_inputs()

wildcard_constraints: subject=plan.subject_pattern, other=plan.subject_pattern, sequence=NAME, model="|".join(HEAD_MODELS)

include: "rules/capture.smk"
include: "rules/imaging.smk"
include: "rules/fitting.smk"
include: "rules/tracks.smk"
include: "rules/training.smk"
include: "rules/delivery.smk"
include: "rules/summary.smk"
include: "rules/demo.smk"

rule all:
    """Avatar and evaluation of every configured subject and sequence, and stage scores where there is ground truth."""
    default_target: True
    input: plan.each(at.avatar, at.evaluation), plan.scored()

rule preprocess:
    """All that training reads of every configured subject and sequence, and of the sequences they learn from; pictures of the fit."""
    input: plan.each(at.orientation_maps, at.mattes, at.surface_params, at.fit_frames, extras=True)

rule evaluate_all:
    """Every configured avatar measured, and all of them side by side in results/summary.html."""
    input: at.summary_page

rule clean_intermediate:
    """Remove what evaluated avatars no longer need and what can be made again; keep avatars, figures, films, logs and timings."""
    params: sequences=plan.finished_sequences
    log: "results/logs/clean_intermediate.log"
    conda: "envs/capture.yaml"
    message: "removing what can be made again"
    shell: "python -m headcast clean {params.sequences:q} | tee {log:q}"

onstart:
    plan.begin()
    take_jobs_along()
    if settings.disk.check:
        with one_line(sys.exit):
            sys.stderr.write(f"headcast: {check_disk(settings, workflow.dag.needrun_jobs())}\n")

onerror:
    plan.explain(workflow.scheduler.failed)
