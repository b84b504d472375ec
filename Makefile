# Turnout's commands. `make` alone installs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := install
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Files of tests at a time: most of them wait for processes and clocks. 0 runs all in one process.
TEST_WORKERS ?= 2
PIP_QUIET := --quiet --disable-pip-version-check --no-input

.PHONY: install demo test test-chaos test-privileged test-node test-browser test-kafka test-redis check format bench proof settings-page clean help

install: $(STAMP)  ## create .venv/ and install the locked dependencies

$(STAMP): pyproject.toml clients/python/pyproject.toml requirements/build.lock requirements/dev.lock
	@echo "turnout: installing the locked dependencies into $(VENV)/ ..." >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "turnout needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >&2
	@$(BIN)/python -m pip install $(PIP_QUIET) --require-hashes -r requirements/build.lock >&2
	@$(BIN)/python -m pip install $(PIP_QUIET) --require-hashes -r requirements/dev.lock >&2
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install $(PIP_QUIET) --no-deps --no-build-isolation \
	  --editable . --editable clients/python >&2
	@touch $@
	@echo "turnout: installed; \`make demo\` starts everything" >&2

demo: install  ## start everything, run the stories, keep serving until Ctrl-C (DEMO_ARGS=--exit ends after them)
	@$(BIN)/turnout demo $(DEMO_ARGS)

test: install  ## every test that needs Python and make only, but for whole stacks under faults
	@$(BIN)/python -m pytest tests --ignore=tests/chaos -m "not privileged and not node and not browser and not kafka and not redis" \
	  --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(TEST_ARGS)

test-chaos: install  ## whole stacks under load while processes are killed, clocks stepped, lines cut
	@$(BIN)/python -m pytest tests/chaos -m "not privileged" $(TEST_ARGS)

test-privileged: install  ## tests that need root and namespaces of their own
	@test "$$(id -u)" = 0 || { echo "make test-privileged must run as root" >&2; exit 1; }
	@$(BIN)/python -m pytest tests -m privileged $(TEST_ARGS)

test-node: install  ## the Node client, and one written from the documents alone, pay
	@node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)' \
	  || { echo "make test-node needs Node 18 or newer as \`node\`" >&2; exit 1; }
	@$(BIN)/python -m pytest tests/node $(TEST_ARGS)

test-browser: install  ## people pay by the card fields in a real Chromium, and attackers do not
	@requirements/install-browser.sh
	@$(BIN)/python -m pip install $(PIP_QUIET) --require-hashes -r requirements/browser.lock >&2
	@$(BIN)/python -m pytest tests/browser -m browser $(TEST_ARGS)

test-kafka: install  ## the stream on a real Apache Kafka of three brokers, one of them killed
	@requirements/install-kafka.sh $(VENV)/kafka-jars
	@$(BIN)/python -m pytest tests/integration/ledger/stream -m kafka $(TEST_ARGS)

test-redis: install  ## nonces and limits that api processes share, on a real Redis that is killed
	@requirements/install-redis.sh
	@$(BIN)/python -m pytest tests/unit/api/limits tests/integration/api tests/integration/stack -m redis $(TEST_ARGS)

check: install  ## format, lint, types, imports, spelling, architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/python -m pytest -q tests/architecture

format: install  ## rewrite the sources in the house format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: install  ## every benchmark, one after the other
	@for name in codec link hsm ledger relay stream audit decisions api charges doubts macs sessions drain idle; do $(BIN)/turnout bench $$name; done

proof: install  ## the figures that the documents quote, five runs each, kept in docs/evidence/
	@$(BIN)/python -m benchmarks.proof $(PROOF_ARGS)

settings-page: install  ## write docs/settings.md anew, from the settings and their comments
	@$(BIN)/python -m tests.support.settings_page > $@.tmp && mv $@.tmp docs/settings.md

clean:  ## remove what was built here
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18
