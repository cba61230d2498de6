# Two commands do everything: `make demo` and `make test`. Bare `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Held at one version: an open range pulls several GB of GPU packages (see README, "GPU").
TORCH ?= torch==2.13.0
# Simulators of `make install`: any of mujoco, envpool, nethack, rocket-league, atari, separated by commas.
EXTRAS ?= mujoco
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.PHONY: help demo install test bars lint format types imports check bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 13) else \
	  f"ctrl needs Python 3.11 or 3.12, {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(INSTALLED): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

$(INSTALLED_DEV): $(INSTALLED) pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mujoco,envpool,nethack,rocket-league,atari,llm,text,scienceworld,coded,design,ray,search,sbx,demonstrations,dev]'
	@touch $@

install: $(INSTALLED) ## create .venv and install ctrl with the simulators in EXTRAS (default: mujoco)

demo: $(INSTALLED) ## PPO on a sparse MuJoCo task, with and without a shaping term
	$(BIN)/python experiments/mujoco/demo.py

test: $(INSTALLED_DEV) ## run the test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal
	$(BIN)/python -m pytest -m 'jax and not bar'

bars: $(INSTALLED_DEV) ## run the slower learning checks
	$(BIN)/python -m pytest -m 'bar and not jax'
	$(BIN)/python -m pytest -m 'bar and jax'

lint: $(INSTALLED_DEV) ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED_DEV) ## rewrite to the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED_DEV) ## static types
	$(BIN)/mypy

imports: $(INSTALLED_DEV) ## who may import whom
	$(BIN)/lint-imports

check: lint types imports test ## everything that CI runs

bench: $(INSTALLED_DEV) ## measure speed against plain SB3, side by side
	$(BIN)/python experiments/benchmarks/run_all.py

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
