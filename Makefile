# headcast: `make demo` builds everything and trains the embedded subject; `make test` runs what CI runs.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(if $(shell $(p) -c 'import sys; print(sys.version_info[:2] in ((3, 11), (3, 12)) or "")' 2>/dev/null | grep True),$(p))))
VENV ?= .venv
CORES ?= $(shell nproc)
BIN := $(VENV)/bin
SNAKEMAKE := snakemake --cores $(CORES)
DEMO := results/demo/HAIR

.PHONY: help demo test lanes lint constraints fit-table hair-table clean
help:
	@sed -n 's/^# //p' Makefile
	@echo "targets: demo test lanes lint constraints fit-table hair-table clean"

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "headcast: Python 3.11 or 3.12 is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "headcast: installing into $(VENV) (about 3 GB, a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

## A run holds .snakemake/headcast.lock while it lives (so does every snakemake, see headcast/workflow/scheduler.py); only what a killed one
## left is unlocked. exec: a signal to make reaches snakemake, and with it the jobs.
demo: $(VENV)/.installed
	@export PATH="$(abspath $(BIN)):$$PATH"; mkdir -p .snakemake; exec 9>>.snakemake/headcast.lock; \
	if command -v flock >/dev/null && ! flock -n 9; then echo "headcast: another run is at work here; wait for it or stop it" >&2; exit 1; fi; \
	if [ -n "$$(ls .snakemake/locks 2>/dev/null)" ]; then $(SNAKEMAKE) --quiet all --unlock >/dev/null 2>&1; fi; \
	exec $(SNAKEMAKE) $(DEMO)/avatar.pth $(DEMO)/evaluation/metrics.json $(DEMO)/scores.json $(DEMO)/reenactment/reenactment.mp4
	@$(BIN)/python -m headcast summary $(DEMO)

test: $(VENV)/.installed
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -m "not (conda or slurm or faults)"

## Whole environments, a real Slurm (root, Debian's slurm-wlm and munge), kills and full disks: about half an hour, in CI beside `test`.
LANES ?= conda or slurm or faults
lanes: $(VENV)/.installed
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -m "$(LANES)" --durations=12 --durations-min=20

lint: $(VENV)/.installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy headcast

constraints: $(VENV)/.installed
	@$(BIN)/python tests/envs/freeze.py > constraints.new && mv constraints.new constraints.txt

## How well heads are fitted, as docs/head_models.md shows: `make fit-table ARGS="--capture 901:/path/to/capture:256 --models open ict"`.
fit-table: $(VENV)/.installed
	@$(BIN)/python -m tests.fitting.fit_table $(ARGS)

## What each part of the hair's training brings, as docs/hair.md shows, from the products of `make demo`: some minutes a row on two cores.
hair-table: $(VENV)/.installed
	@$(BIN)/python -m benchmarks.hair_table $(ARGS)

clean:
	rm -rf results .snakemake
