# Everything here sets itself up: a Python 3.10 or newer with its venv module is all that has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PLUGINS := $(dir $(wildcard plugins/*/setup.cfg))

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types check bench conformance clean

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY) ## Make the virtual environment, with everything that development needs

$(READY): setup.cfg pyproject.toml $(PLUGINS:=setup.cfg)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[demo,dev]' $(PLUGINS:%=--editable './%[test]')
	@touch $@

demo: $(READY) ## Show two regions at work: a primary in syd, a replica in lax, 80 ms apart
	@$(BIN)/python -m examples.two_regions

test: $(READY) ## Run the tests, on a real primary and replica, and those of the plug-ins
	$(BIN)/python -m pytest
	set -e; for plugin in $(PLUGINS); do (cd $$plugin && $(CURDIR)/$(BIN)/python -m pytest); done

lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check the types
	$(BIN)/mypy

check: lint types test ## Everything that has to pass before a change lands

bench: $(READY) ## Measure latency and overhead, side by side, and print the ratios
	@$(BIN)/python -m tests.bench

conformance: $(READY) ## Run Pony's own test suite wrapped, on a replica, and compare it with an unwrapped run
	@$(BIN)/python -m tests.conformance

clean: ## Remove what the targets above made
	rm -rf $(VENV) build dist *.egg-info plugins/*/build plugins/*/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
