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
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . $(CONSTRAINTS)
	@touch $@

.PHONY: setup check watch course hint reset notebook submit model train alignment capstone tour

setup: .venv/installed

check: .venv/installed  ## your exercises; EX=softmax for one; PLAIN=1 for a screen reader, here and below
	@$(RUN) check $(EX) $(if $(PLAIN),--plain)

watch: .venv/installed  ## the same on every save, and on to the next exercise when one passes
	@$(RUN) watch $(EX) $(if $(PLAIN),--plain)

course: .venv/installed  ## what is done, and what is next
	@$(RUN) course $(if $(PLAIN),--plain)

hint: .venv/installed  ## the next hint; EX=softmax for another exercise, ALL=1 for those that you have read
	@$(RUN) hint $(EX) $(if $(ALL),--all)

reset: .venv/installed  ## an exercise anew, your text is kept: EX=softmax LEVEL=guided, fading or open
	@$(RUN) reset $(EX) $(if $(LEVEL),--level $(LEVEL))

notebook: .venv/installed  ## the exercises in JupyterLab; EX=softmax for one
	@$(BIN)/python -c 'import jupyterlab' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'jupyterlab>=4.4,<5'
	@$(RUN) notebook $(EX)

submit: .venv/installed  ## one zip to hand in: OUT=ada.zip
	@$(RUN) submit $(if $(OUT),--out '$(OUT)') $(if $(PLAIN),--plain)

model: .venv/installed  ## SmolLM2-135M-Instruct, for the final exercise
	@$(BIN)/python -P -m projects.smollm2

# Threads that wait for each other must not keep other programs from the processor.
train: .venv/installed  ## your own model learns Shakespeare; FROM=solutions, TOKENIZER=bpe
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -P -m projects.train $(if $(FROM),--from '$(FROM)') $(if $(TOKENIZER),--tokenizer $(TOKENIZER))

alignment: .venv/installed  ## your own losses teach a small model what people prefer; FROM=solutions
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -P -m projects.alignment $(if $(FROM),--from '$(FROM)')

capstone: .venv/installed  ## the real model in your own code; CHAT=1 to talk to it
	@$(BIN)/python -P -m projects.capstone $(if $(FROM),--from '$(FROM)') $(if $(CHAT),--chat)

tour: .venv/installed  ## inside the real model, a picture at every step
	@$(BIN)/python -P -m projects.tour $(if $(FROM),--from '$(FROM)')

# -- For instructors and maintainers; a release ends here. --

.venv/developing: .venv/installed
	@echo "Adding what instructors and maintainers need (once)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

.PHONY: exercises verify mutants fuzz test lint bench release nbgrader

exercises: .venv/developing  ## exercises/ from solutions/
	@$(RUN) exercises

verify: .venv/developing  ## the course proves itself
	@$(RUN) verify $(EX)

mutants: .venv/developing  ## the suites, measured by generated mutants
	@$(RUN) mutants $(EX)

release: .venv/developing  ## what students get: DIR=../course; LEVEL=open for harder exercises
	@$(RUN) release $(DIR) $(if $(LEVEL),--level $(LEVEL))

nbgrader: .venv/developing  ## a course folder for nbgrader: DIR=~/llm
	@$(RUN) notebooks $(or $(DIR),build/nbgrader)

fuzz: .venv/developing  ## the decoder of what submissions send, coverage-guided
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fuzz]"
	@$(BIN)/python -P tests/autograder/fuzz_wire.py -max_total_time=60

test: .venv/developing  ## everything that must hold before a change lands
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/python -P -m pytest -q --numprocesses 2 --dist loadfile
	@$(RUN) verify --sample 16
	@$(RUN) mutants --sample 32

lint: .venv/developing
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/mypy

bench: .venv/developing  ## figures, as ratios in one run
	@$(BIN)/python -P -m pytest -q tests/bench
