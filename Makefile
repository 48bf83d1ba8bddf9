# Everything below makes its own virtual environment: python3 (3.11 or newer), make and a C compiler
# are all that a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test fast lint faults soak clean

demo: $(VENV)/.demo  ## degrade sample pictures, sharpen them with a real daemon, compare
	$(BIN)/sharpend demo

test: $(VENV)/.dev  ## all tests, the slow ones last
	$(BIN)/python -m pytest

fast: $(VENV)/.dev  ## the tests of a minute
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(VENV)/.dev  ## the fault campaign, about an hour; given again, it goes on where it was
	$(BIN)/python -m tests.campaign

soak: $(VENV)/.dev  ## an hour of one picture a second; Ctrl-C ends it with what was found
	$(BIN)/python -m tests.soak

clean:  ## remove what the targets above made
	rm -rf $(VENV) demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
