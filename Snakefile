"""headcast: calibrated multi-view head captures → animatable Gaussian head avatars with strand hair."""

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")
HERE = Path(workflow.current_basedir)
sys.path.insert(0, str(HERE))

from headcast import layout as at
from headcast.assets import HEAD_MODELS
from headcast.config import NAME, load_config
from headcast.fingerprint import code_hash
from headcast.planning import Plan, one_line, share_package

configfile: HERE / "workflow_config.yaml"

with one_line():
    settings = load_config(config)
plan = Plan(settings)

share_package(HERE)

wildcard_constraints:
    subject=plan.subject_pattern,
    sequence=NAME,
    model="|".join(HEAD_MODELS),

include: "rules/capture.smk"
include: "rules/imaging.smk"
include: "rules/fitting.smk"
include: "rules/training.smk"
include: "rules/delivery.smk"
include: "rules/demo.smk"

rule all:
    """Avatar, evaluation and scores of every configured subject and sequence."""
    default_target: True
    input: plan.everything()

onerror:
    plan.explain(log)
