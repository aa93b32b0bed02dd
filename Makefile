# make demo    the whole system on this machine, with a shop that browses and buys
# make test    every test (real Kafka needs Java and Maven, real Redis a redis-server; without them those tests are skipped)
# make check   format, lint, strict types, import rules, published schemas
# make bench   measurements, printed with the machine they were taken on
# make up      the whole system on this machine, fed by you
# make clean   what was built here; the environment in .venv stays (rm -rf .venv for that)

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip
HERE := --python $(BIN)/python

# A second `make` is quick: these files say what the environment holds. Development's packages contain all others.
RUN := $(VENV)/.run
DEV := $(VENV)/.dev

.DELETE_ON_ERROR:
.PHONY: help demo test check bench up clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(RUN)
	$(BIN)/python -m examples.demo

up: $(RUN)
	$(BIN)/headrace up

test: $(DEV)
	$(BIN)/python -m pytest

bench: $(DEV)
	for name in interest growth ready latency chaos timelines timers gates freshness rules reasons replay_equal recommender \
	  cold_start first_click hostile serving copy peeking offpolicy propensity delays merge decision_cost drift lift; do \
	  echo "== $$name"; $(BIN)/python -m benchmarks.$$name || failed="$$failed $$name"; done; \
	  test -z "$$failed" || { echo "bars missed:$$failed"; exit 1; }

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m schemas.publish --check
	$(BIN)/python -m pytest -q tests/test_layers.py

clean:
	rm -rf build out .pytest_cache .mypy_cache .ruff_cache .hypothesis headrace.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Headrace needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(RUN): requirements.txt pyproject.toml | $(BIN)/uv
	@if [ -e $(DEV) ]; then $(MAKE) --no-print-directory $(DEV); else \
	  $(UV) sync $(HERE) requirements.txt && $(UV) install --quiet $(HERE) --no-deps --no-build-isolation -e .; fi
	@touch $@

$(DEV): requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/uv
	$(UV) sync $(HERE) requirements-dev.txt
	$(UV) install --quiet $(HERE) --no-deps --no-build-isolation -e .
	@touch $@ $(RUN)
