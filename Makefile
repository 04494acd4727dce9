# Everything a person runs. Each target does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Arguments of `make search`. Its own are a small preset; with ARGS none of them apply.
ARGS ?=
SMALL := --preset debug --trials 6 --folds 3 --repeats 1 --set model.depth=18 --set model.shortcut=add

# The pinned torch takes a CPU build where pip's index offers one. PyPI has none for Linux: without an NVIDIA device name
# an index of CPU builds, TORCH_INDEX=https://download.pytorch.org/whl/cpu, or the default build brings 3 GB of CUDA.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Two at a time, a file's tests one after the other: they share what is made once, and mostly wait for processes to start.
BESIDE := -n 2 --dist loadfile

.PHONY: setup search test test-slow test-long cluster-test clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}; make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch)
	$(PIP) -e '.[dev]'
	touch $(STAMP)

search: setup
	$(BIN)/python -m search.run $(if $(strip $(ARGS)),$(ARGS),$(SMALL))

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m 'not slow and not long' $(BESIDE)

# Three machines on two processors are alone: Ray gives each half a minute to start.
test-slow: cluster-test
	$(BIN)/python -m pytest -q -m 'slow and not long' --ignore tests/machines $(BESIDE)

# For what takes longer than continuous integration may. pytest's status 5: no test is marked so.
test-long: setup
	$(BIN)/python -m pytest -q -m long $(BESIDE) || { test $$? -eq 5 && echo 'No test is marked long.'; }

# A cluster of three machines made of namespaces: as root, with sshd, rsync, ip and tmux. Skipped by name elsewhere.
cluster-test: setup
	$(BIN)/python -m pytest -q -s -m 'not long' tests/machines

clean:
	rm -rf $(VENV) *.egg-info
