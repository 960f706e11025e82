# Works with Python 3.10 or newer and make alone; everything else is installed into .venv and .venv-test.
PYTHON ?= python3
OUT ?= demo
# CI=true rebuilds the test environment from nothing; otherwise it is rebuilt when its recipe changed.
CI ?= false
# Processes that share the tests, file by file; those whose servers and processes would be late run alone.
TESTERS ?= 2

RECIPE := pyproject.toml constraints.txt Makefile
TEST := .venv-test/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint clean fresh

help:
	@echo 'make demo    install what the demo needs into .venv, simulate a crossing, forecast it, write $(OUT)/report.html'
	@echo 'make test    build .venv-test from the project files; lint, types, architecture and tests in it'
	@echo 'make lint    style, types and architecture only'
	@echo 'make clean   remove environments, caches, build outputs and the folder demo (never another OUT)'
	@echo
	@echo 'PYTHON=python3.12 chooses the interpreter, OUT=DIR the folder of the demo, CI=true a fresh environment,'
	@echo 'TESTERS=4 how many processes share the tests (2).'

demo: .venv/stamp
	.venv/bin/drivewm demo --out '$(OUT)'

test: lint
	$(TEST)/python -m pytest -n $(TESTERS) --dist loadfile -m 'not alone'
	$(TEST)/python -m pytest -m alone

lint: .venv-test/stamp
	$(TEST)/ruff check .
	$(TEST)/ruff format --check .
	$(TEST)/mypy
	$(TEST)/lint-imports

.venv/stamp: EXTRAS = sim,eval
.venv-test/stamp: EXTRAS = dev
.venv/stamp .venv-test/stamp: $(RECIPE)
	rm -rf $(@D)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo 'drivewm needs Python 3.10 or newer: make PYTHON=python3.11'; exit 1; }
	@$(PYTHON) -m venv $(@D) \
	  || { echo 'python3 cannot build a virtual environment: install its venv module (Debian: apt install python3-venv)'; exit 1; }
	$(@D)/bin/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

ifeq ($(CI),true)
.venv-test/stamp: fresh
endif

clean:
	rm -rf .venv .venv-test demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
