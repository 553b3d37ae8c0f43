# What each command does stands in README.md. Everything runs in .venv, which the first command makes.

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -P -m autograder

# A folder that was moved or copied brings a .venv that still points to where it was; a .venv that is a link is somebody's.
MOVED := $(shell [ -L .venv ] || [ ! -e .venv/here ] || [ "$$(cat .venv/here)" = "$$(pwd -P)" ] || echo moved)
ASKED := $(filter command,$(origin PYTHON))
INSTALL = $(PYTHON) install.py $(if $(ASKED),--this-python)

.DEFAULT_GOAL := check

# TORCH_INDEX=cpu, cuda, an address or a folder says where PyTorch comes from.
.venv/installed: pyproject.toml constraints.txt $(if $(MOVED)$(ASKED),again)
	@$(INSTALL)
	@touch $@

.PHONY: again help setup check watch course read hint compare recap debug reset notebook submit model train alignment classify capstone tour

help:  ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## *\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

setup: .venv/installed  ## .venv, with all that students need; every other command does this first

check: .venv/installed  ## your exercises; EX=softmax for one; PLAIN=1 for a screen reader, here and below
	@$(RUN) check $(EX) $(if $(PLAIN),--plain) || [ $$? -eq 1 ]  # make says nothing of what does not pass yet

watch: .venv/installed  ## the same on every save, and on to the next exercise when one passes
	@$(RUN) watch $(EX) $(if $(PLAIN),--plain)

course: .venv/installed  ## what is done, and what is next
	@$(RUN) course $(if $(PLAIN),--plain)

read: .venv/installed  ## the lesson as a page in the browser, beside your editor; EX=softmax
	@$(RUN) read $(EX)

hint: .venv/installed  ## the next hint; EX=softmax for another exercise, OF=log_softmax for a function, ALL=1 for those that you have read
	@$(RUN) hint $(EX) $(OF) $(if $(ALL),--all)

compare: .venv/installed  ## your answer beside another right one, once yours passes: EX=softmax
	@$(RUN) compare $(EX) $(if $(PLAIN),--plain)

recap: .venv/installed  ## looking back on a part, with your mistakes and the lesson's answers: PART=Foundations
	@$(RUN) recap $(if $(PART),'$(PART)')

debug: .venv/installed  ## an example that fails, to print from and stop in: EX=softmax
	@$(RUN) debug $(EX)

reset: .venv/installed  ## an exercise anew, your text is kept: EX=softmax LEVEL=guided, fading or open
	@$(RUN) reset $(EX) $(if $(LEVEL),--level $(LEVEL))

notebook: .venv/installed  ## the exercises in JupyterLab; EX=softmax for one
	@$(INSTALL) --extra notebook
	@$(RUN) notebook $(EX)

submit: .venv/installed  ## one zip to hand in: OUT=ada.zip; ASSIGNMENT=week1
	@$(RUN) submit $(if $(OUT),--out '$(OUT)') $(if $(ASSIGNMENT),--assignment '$(ASSIGNMENT)') $(if $(PLAIN),--plain)

model: .venv/installed  ## SmolLM2-135M-Instruct, for the final exercise
	@$(RUN) model

train: .venv/installed  ## your own model learns Shakespeare; FROM=solutions, TOKENIZER=bpe
	@$(RUN) train $(if $(FROM),--from '$(FROM)') $(if $(TOKENIZER),--tokenizer $(TOKENIZER))

alignment: .venv/installed  ## your own losses teach a small model what people prefer; FROM=solutions
	@$(RUN) alignment $(if $(FROM),--from '$(FROM)')

classify: .venv/installed  ## the real model, with your LoRA, tells comedies, histories and tragedies apart
	@$(INSTALL) --extra classify
	@$(RUN) classify $(if $(FROM),--from '$(FROM)')

capstone: .venv/installed  ## the real model in your own code; CHAT=1 to talk to it
	@$(RUN) capstone $(if $(FROM),--from '$(FROM)') $(if $(CHAT),--chat)

tour: .venv/installed  ## inside the real model, a picture at every step
	@$(RUN) tour $(if $(FROM),--from '$(FROM)')

# -- For instructors and maintainers; a release ends here. --

.venv/developing: .venv/installed
	@$(INSTALL) --extra dev
	@touch $@

.PHONY: exercises verify mutants fuzz test quick lint bench release pictures site nbgrader upgrade

exercises: .venv/developing  ## exercises/ from solutions/
	@$(RUN) exercises

verify: .venv/developing  ## the course proves itself
	@$(RUN) verify $(EX)

mutants: .venv/developing  ## the suites, measured by generated mutants
	@$(RUN) mutants $(EX)

release: .venv/developing  ## what students get: DIR=../course; ASSIGNMENT=week1 up to there; CORE=1 the core path; LEVEL=open for harder exercises; ANSWERS=softmax to compare with
	@$(RUN) release $(DIR) $(if $(ASSIGNMENT),--assignment '$(ASSIGNMENT)') $(if $(CORE),--path core) $(if $(LEVEL),--level $(LEVEL)) $(if $(ANSWERS),--answers $(ANSWERS))

pictures: .venv/developing  ## the pictures in README.md and docs/
	@$(BIN)/python -P tools/pictures.py

site: .venv/developing  ## the course as pages for the browser: DIR=build/site
	@$(RUN) site $(or $(DIR),build/site)

nbgrader: .venv/developing  ## a course folder for nbgrader: DIR=~/llm
	@$(RUN) notebooks $(or $(DIR),build/nbgrader)

fuzz: .venv/developing  ## the decoder of what submissions send, coverage-guided
	@$(INSTALL) --extra fuzz
	@$(BIN)/python -P tests/autograder/fuzz_wire.py -max_total_time=60

test: .venv/developing  ## everything that must hold before a change lands
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
	@$(BIN)/python -P -m pytest -q --numprocesses 2 --dist loadfile
	@$(RUN) verify --sample 32
	@$(RUN) mutants --sample 64

quick: .venv/developing  ## lint, types and the tests that are quick: under a minute
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/python -P -m pytest -q tests/autograder/test_versions.py tests/autograder/test_internals.py \
	    tests/autograder/test_differences.py tests/autograder/test_wire.py tests/autograder/test_submission.py
	@$(RUN) verify softmax

lint: .venv/developing  ## puts right what a program can, then lint and types
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/mypy

bench: .venv/developing  ## figures, as ratios in one run
	@$(BIN)/python -P -m pytest -q tests/bench

upgrade: .venv/developing  ## newer versions in constraints.txt: resolved, installed, tested, and what moved
	@$(INSTALL) --extra upgrade
	@$(BIN)/python -P tools/upgrade.py
