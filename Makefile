# Common tasks. Each target sets up its own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Arguments of `make search`. Setting ARGS replaces the defaults, which run a small search.
ARGS ?=
SMALL := --preset debug --trials 6 --folds 3 --repeats 1 --set model.depth=18 --set model.shortcut=add

# PyPI's Linux builds of torch bring 3 GB of CUDA libraries. On machines without an NVIDIA GPU set an index of CPU builds:
# TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Such an index has few versions of torch's dependencies, which therefore come from PyPI with everything else.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Two test files in parallel: the tests of a file share fixtures and mostly wait for processes to start.
PARALLEL := -n 2 --dist loadfile

.PHONY: setup search test test-slow test-long cluster-test slurm-test bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}; make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url $(TORCH_INDEX) torch)
	$(PIP) -e '.[dev]'
	touch $(STAMP)

search: setup
	$(BIN)/python -m search.run $(if $(strip $(ARGS)),$(ARGS),$(SMALL))

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m 'not slow and not long' $(PARALLEL)

# tests/machines runs first and alone: its machines share two CPUs, and Ray lets each take half a minute to start.
test-slow: cluster-test
	$(BIN)/python -m pytest -q -m 'slow and not long' --ignore tests/machines $(PARALLEL)

# Tests that take too long for continuous integration. pytest exits with 5 if no test is selected.
test-long: setup
	$(BIN)/python -m pytest -q -m long $(PARALLEL) || { test $$? -eq 5 && echo 'No test is marked long.'; }

# A cluster of three machines made of namespaces; needs root, sshd, rsync, ip and tmux, and is skipped without them.
cluster-test: setup
	$(BIN)/python -m pytest -q -s -m 'not long' tests/machines

# A Slurm cluster made the same way, with all its tests; needs slurm-wlm and munge as well.
slurm-test: setup
	$(BIN)/python -m pytest -q -s tests/machines/test_slurm.py tests/machines/test_slurm_forms.py

# Fails if training is slower than recorded, compared with a plain loop and with the machine's limit. Needs idle processors.
bench: setup
	$(BIN)/python -m benchmarks.training.throughput --short

clean:
	rm -rf $(VENV) *.egg-info
