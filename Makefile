# Each target sets up what it needs by itself; a second run finds it there. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Else each of the many processes that tests start compiles all its modules anew, which takes it six seconds.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
CODE := $(wildcard alembic benchmarks carriers gateway merchants simulators tests)
QUICK_TESTS := $(wildcard tests/core tests/house tests/carriers/smpp)
# Three workers on two cores: many tests wait for processes of their own. Who is done takes tests from the others.
WORKERS ?= 3

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: demo
demo: setup-run ## a payment through real parts, then keep serving (make demo ARGS=--once: and stop)
	@exec $(BIN)/gateway demo $(ARGS)

.PHONY: test
test: setup-test peers chromium static ## everything: static checks, then all tests on SQLite and PostgreSQL
	@echo "tests: all"
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: check
check: setup-test static ## static checks and the quick tests, in under a minute
	@echo "tests: $(QUICK_TESTS)"
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(QUICK_TESTS) $(ARGS)

.PHONY: static
static: setup-test
	@echo "check: ruff"
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/ruff format --quiet --check $(CODE)
	@echo "check: mypy"
	@$(BIN)/mypy --no-error-summary
	@echo "check: imports"
	@$(BIN)/lint-imports > .venv/imports.log || { cat .venv/imports.log; exit 1; }

.PHONY: nightly
nightly: setup-test ## the random walk of payments and their money, 100,000 steps on each database
	@WALK_STEPS=$(or $(WALK_STEPS),100000) $(BIN)/python -m pytest -q tests/store/test_walk.py $(ARGS)

.PHONY: bench
bench: setup-test ## the benchmarks, one JSON line each
	@exec $(BIN)/python -m benchmarks $(ARGS)

.PHONY: peers
peers: setup-test
	@$(BIN)/python -m tests.peers.net_smpp

.PHONY: chromium
chromium: setup-test
	@$(BIN)/python -m tests.peers.chromium

.PHONY: setup-run setup-test
setup-run setup-test: setup-%:
	@requirements/install $*

.PHONY: lock
lock: setup-run ## make the lock files anew from pyproject.toml (LOCK=--upgrade: with the newest versions)
	@requirements/lock $(LOCK)

.PHONY: format
format: setup-test ## lay the code out
	@$(BIN)/ruff check --quiet --fix $(CODE) || true
	@$(BIN)/ruff format --quiet $(CODE)

.PHONY: clean
clean: ## remove everything that these targets made
	@rm -rf .venv .tools .peers .demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
