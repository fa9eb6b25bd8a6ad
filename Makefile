# `make` shows what there is. Every target prepares what it needs in .venv; a second call starts at once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test load bench quality lint format proto breaking clean

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
BUF := tools/buf/node_modules/.bin/buf

# Nothing of the caller's own Python environment reaches ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-run ## a simulated contact center on a real day of calls (DEMO_ARGS="--help")
	@$(VENV)/bin/workrouter demo $(DEMO_ARGS)

test: $(VENV)/.stamp-dev ## every test, on the real store (PYTEST_ARGS="-k fence")
	@$(PY) -m pytest $(PYTEST_ARGS)

load: $(VENV)/.stamp-load ## a load test with a router of its own, a minute (LOAD_ARGS="--scenario call-storm"; docs/load-tests.md)
	@$(PY) -m loadtests $(LOAD_ARGS)

bench: $(VENV)/.stamp-dev ## the figures beside bare references and job queues (BENCH_ARGS="--quick"; docs/benchmarks)
	@$(PY) -m loadtests.bench $(BENCH_ARGS)

quality: $(VENV)/.stamp-quality ## the blending laws against theory and real days (QUALITY_ARGS="--days 8"; docs/quality)
	@$(PY) -m quality $(QUALITY_ARGS)

lint: $(VENV)/.stamp-dev $(BUF) ## ruff, mypy, layers, buf lint and breaking, stubs up to date
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(BUF) lint
	$(PY) tools/check_breaking.py --buf $(BUF)
	$(PY) tools/check_stubs.py

format: $(VENV)/.stamp-dev ## sort imports, mend what ruff can mend, lay out the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

proto: $(VENV)/.stamp-dev ## generate router/v1 from protos/
	$(PY) tools/check_stubs.py --write

breaking: $(VENV)/.stamp-dev $(BUF) ## does the API still fit its callers?
	$(PY) tools/check_breaking.py --buf $(BUF)

clean: ## remove what the targets made
	rm -rf $(VENV) tools/buf/node_modules build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .bench-peers

# A stamp is written when its installation is complete, so an interrupted one is simply done again.
$(VENV)/.stamp-run: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing the router into $(VENV) ..."
	@$(PY) -m pip install -qq --editable .
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing the router and its development tools into $(VENV) ..."
	@$(PY) -m pip install -qq --editable '.[dev,proto,quality,load]'
	@$(PY) -m pip check
	@touch $@ $(VENV)/.stamp-run $(VENV)/.stamp-load

$(VENV)/.stamp-load: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing the router and Locust into $(VENV) ..."
	@$(PY) -m pip install -qq --editable '.[load]'
	@touch $@ $(VENV)/.stamp-run

$(VENV)/.stamp-quality: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing the router and the quality benchmark's libraries into $(VENV) ..."
	@$(PY) -m pip install -qq --editable '.[quality]'
	@touch $@ $(VENV)/.stamp-run

$(VENV)/pyvenv.cfg:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "no $(PYTHON) on the path: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; \
	    exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$$($(PYTHON) --version) is too old, the router needs 3.11 or newer: make PYTHON=/path/to/python3" >&2; \
	    exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	    echo "cannot make $(VENV): on Debian and Ubuntu install the package python3-venv" >&2; exit 1; }

# `npm ci` would refuse a lock without the binaries of other systems; the versions are exact either way.
$(BUF): tools/buf/package.json tools/buf/package-lock.json
	@command -v npm >/dev/null || { \
	    echo "make lint needs npm (it brings the buf tool): install Node.js 18 or newer" >&2; exit 1; }
	@echo "installing buf into tools/buf/node_modules ..."
	@cd tools/buf && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@
