# What each command does stands in README.md. Everything runs in .venv, which the first command makes.

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -P -m autograder
CONSTRAINTS := $(if $(wildcard constraints.txt),--constraint constraints.txt)

.DEFAULT_GOAL := check

.venv/installed: pyproject.toml
	@echo "Setting up .venv (once; PyTorch is large)..."
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, and this is %d.%d. Try: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".$(EXTRAS)" $(CONSTRAINTS)
	@touch $@

.PHONY: setup check hint model

setup: .venv/installed

check: .venv/installed  ## your exercises; EX=softmax for one
	@$(RUN) check $(EX)

hint: .venv/installed  ## the next hint: EX=softmax
	@$(RUN) hint $(EX)

model: .venv/installed  ## SmolLM2-135M-Instruct, for the final exercise
	@$(BIN)/python -P -m projects.smollm2

# -- For instructors and maintainers; a release ends here. --

EXTRAS := [dev]

.PHONY: exercises verify mutants fuzz test lint bench release nbgrader

exercises: .venv/installed  ## exercises/ from solutions/
	@$(RUN) exercises

verify: .venv/installed  ## the course proves itself
	@$(RUN) verify $(EX)

mutants: .venv/installed  ## the suites, measured by generated mutants
	@$(RUN) mutants $(EX)

release: .venv/installed  ## what students get: DIR=../course
	@$(RUN) release $(DIR)

nbgrader: .venv/installed  ## a course folder for nbgrader: DIR=~/llm
	@$(RUN) notebooks $(or $(DIR),build/nbgrader)

fuzz: .venv/installed  ## the decoder of what submissions send, coverage-guided
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fuzz]"
	@$(BIN)/python -P tests/autograder/fuzz_wire.py -max_total_time=60

test: .venv/installed  ## everything that must hold before a change lands
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/python -P -m pytest -q
	@$(RUN) verify --sample 8

lint: .venv/installed
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/mypy

bench: .venv/installed  ## figures, as ratios in one run
	@$(BIN)/python -P -m pytest -q tests/bench
