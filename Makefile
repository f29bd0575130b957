# Needs python3 (3.11 or newer) and make; everything else is installed into .venv from uv.lock.

UV := .uv/bin/uv
SNAKEMAKE := .venv/bin/snakemake
export UV_PYTHON_DOWNLOADS := never
# Tests and demo start hundreds of processes: compile each module once, not in every one.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-fast lint schema env

demo: env
	$(SNAKEMAKE) --profile profiles/demo

# Tests come in the order of tests/conftest.py, and those of a group to one worker.
IN_PARALLEL := --dist loadgroup --no-loadscope-reorder

# Each worker has a core: with a second thread, it would mostly wait for those of the others.
test test-fast: export OMP_NUM_THREADS := 1

# A worker more than two cores have: one of them mostly waits for Slurm.
test: env
	.venv/bin/python -m pytest -n 3 $(IN_PARALLEL)

# For daily work: all but the tests that run the workflow, a cluster or several processes, read all
# published pairs, simulate many runs, or have attention by blocks.
test-fast: env
	.venv/bin/python -m pytest -n 2 $(IN_PARALLEL) -m "not slow"

lint: env
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/snakefmt --check Snakefile rules
	$(SNAKEMAKE) --lint

# Run after a change to the classes in workflow_scripts/config.
schema: env
	.venv/bin/python -m workflow_scripts schema > config.schema.json
	.venv/bin/python -m workflow_scripts schema --overlay > overlay.schema.json

env: .venv/.made

.venv/.made: pyproject.toml uv.lock $(UV)
	$(UV) sync --frozen --compile-bytecode --python python3
	touch $@

$(UV): envs/uv.txt
	python3 -m venv .uv
	.uv/bin/pip install --quiet --require-hashes --only-binary :all: --requirement envs/uv.txt
	touch $@
