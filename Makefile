# Everything here sets itself up: a Python 3.10 or newer with its venv module is all that has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PLUGINS := $(dir $(wildcard plugins/*/setup.cfg))
# Tests wait more than they compute, so more of them run at a time than there are cores.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(4 + (os.cpu_count() or 1), 12))')
# Each process has a cluster of its own; the tests of one file stay together. Tests start many Python processes, each of
# which would compile fly_orm anew if none could store what it has compiled.
TESTS := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo example screenshots test test-all lint types check bench docs docs-serve load hunt chaos fuzz conformance dist versions clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY) ## Make the virtual environment, with everything that development needs

$(READY): setup.cfg pyproject.toml $(PLUGINS:=setup.cfg)
	@echo "Installing fly_orm and its development tools into $(VENV): a minute or two"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[demo,dev]' $(PLUGINS:%=--editable './%[test]')
	@touch $@

demo: $(READY) ## Show two regions at work: a primary in syd, a replica in lax, 80 ms apart
	@$(BIN)/python -m examples.two_regions

example: $(READY) ## Show a guest book in three regions, in the browser, until Ctrl-C; PORT=9100 moves it
	@$(BIN)/python -m examples.guestbook $(PORT:%=--port %)

screenshots: $(READY) ## Take the pictures of the documentation anew, with the chromium of the system
	SCREENSHOTS=docs/assets $(BIN)/python -m pytest -q -p no:randomly tests/project/test_guestbook_pages.py -k pictures

test: $(READY) ## Run the quick tests, on a real primary and replica, and those of the plug-ins
	$(TESTS) -m "not slow"

test-all: $(READY) ## Run all tests; those that wait leave the cores to the others
	$(TESTS)

lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check the types
	$(BIN)/mypy
	$(BIN)/mypy tests/typed

check: lint types test ## Check style and types and run the quick tests, before a commit; CI runs all tests

bench: $(READY) ## Measure, print, draw docs/performance/ and write docs/performance.md; QUICK=1 only prints, roughly
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick,--save)

docs: $(READY) ## Build the documentation as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-serve: $(READY) ## Build it, serve it, and build it again on each change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

load: $(READY) ## Load a node, hold idle channels, and soak, for minutes each: make load SECONDS=60
	@$(BIN)/python -m tests.bench load idle_channels soak

hunt: $(READY) ## Hunt for stale reads through crashes and failovers: make hunt SECONDS=600 SEED=1 ORM=django
	@$(BIN)/python -m tests.hunt --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(PLANT:%=--plant %) $(ORM:%=--orm %) $(SILENT:%=--silent)

chaos: $(READY) ## Check every promise while everything fails at random: make chaos SECONDS=600 SEED=1
	@$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(PLANT:%=--plant %) $(LEDGER:%=--ledger) $(ONLY:%=--only %)

fuzz: $(READY) ## Look for bytes, text and values of others that break a property: make fuzz SECONDS=300
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]' 2>/dev/null || true
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(ONLY:%=--only %)

conformance: $(READY) ## Run the ORMs' own tests wrapped and unwrapped: SUITE=django MODE=delayed CONTROL=1; PEEWEE=its checkout
	@$(BIN)/python -m tests.conformance $(SUITE:%=--suite %) $(PEEWEE:%=--peewee %) $(CONTROL:%=--control) $(MODE)

dist: $(READY) ## Build the distributions, check them, and run some of their tests on every Python here; ALL=1 runs all quick ones, QUICK=1 a few
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	@$(BIN)/python -m tests.releasing dist $(if $(ALL),--all) $(if $(QUICK),--quick)

versions: $(READY) ## Run some tests of the distributions on the oldest Python, requirements and PostgreSQL, and on the newest; QUICK=1 runs a few of the checkout
ifndef QUICK
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
endif
	@$(BIN)/python -m tests.releasing versions $(if $(ALL),--all) $(if $(QUICK),--quick)

clean: ## Remove what the targets above made
	rm -rf $(VENV) build dist *.egg-info plugins/*/build plugins/*/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
