# Every target sets up what it needs; `make demo` is the place to start.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint integration bench lock clean

setup: $(VENV)/.installed

# Plain pip installs the hash-locked set (no resolver runs: see requirements/README.md).
$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "runbook needs Python 3.11 to 3.13; this is %d.%d. Nothing was installed. Call make with PYTHON=python3.12, say." % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked requirements into $(VENV) (about half a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check --quiet --disable-pip-version-check
	@touch $@

demo: setup
	@$(BIN)/runbook demo

test: setup
	@$(BIN)/python -m pytest -m "not integration" -n 2 --dist loadfile tests
	@echo "Not run here: the integration suites (real components). Run them with: make integration"

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

integration: setup
	@bash integration/run

bench: setup
	@$(BIN)/python -m benchmarks

# Needs uv; writes the same files on any platform.
lock:
	uv pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -o requirements/runtime.txt
	uv pip compile -q pyproject.toml --extra dev -c requirements/runtime.txt --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -o requirements/dev.txt

clean:
	rm -rf $(VENV) build *.egg-info
