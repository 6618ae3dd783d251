# The two commands of a newcomer are `make run` and `make test`; `make help` lists the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECKERS := .venv-tools/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run setup test test-all tools check check-terraform audit lock bench chaos mutations clean

help: ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "Lectern needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is another. Try: make PYTHON=python3.11 run" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; about a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# The lock file is complete, so --no-deps: pip checks the hashes and resolves nothing.
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-dev.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY) ## set up, ingest the sample handbook, serve everything at a printed address
	@# The process dies with make, also when make is killed outright.
	@exec $(BIN)/lectern run --die-with-parent $(ARGS)

test: $(READY) ## the tests that need nothing but Python
	@$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

test-all: $(READY) $(CHECKERS) tools ## the tests that need more: a browser, PgBouncer, Redis, Qdrant's released server
	@# Only those: what `make test` runs is not run again. A file stays on one worker, with its servers.
	@$(BIN)/pytest -n 2 --dist loadfile --e2e -m e2e $(ARGS)

# Debian's name of a package, and a program that it brings.
TOOLS := chromium:chromium postgresql:pg_lsclusters npm:npm pgbouncer:pgbouncer redis-server:redis-server

tools:
	@PATH="$$PATH:/usr/sbin"; missing=""; \
	for each in $(TOOLS); do command -v "$${each#*:}" >/dev/null || missing="$$missing $${each%:*}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "This needs$$missing. Install that first, on Debian: sudo apt-get install$$missing" >&2; exit 1; fi; \
	echo "Installing$$missing ..."; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null

$(CHECKERS): tests/tools.txt
	@echo "Setting up .venv-tools (once; about a minute) ..."
	@test -x .venv-tools/bin/python || $(PYTHON) -m venv .venv-tools
	@.venv-tools/bin/pip install --quiet --no-deps --require-hashes -r tests/tools.txt
	@touch $@

check-terraform: $(READY) $(CHECKERS) ## Terraform's checks, against a stub of the provider: needs terraform, no network
	@$(BIN)/python -m tests.terraform $(ARGS)

audit: $(CHECKERS) ## what ships, against known vulnerabilities: asks the advisory service, so it needs a network
	@.venv-tools/bin/pip-audit --vulnerability-service osv --requirement requirements.txt --require-hashes --disable-pip --progress-spinner off $(ARGS)

mutations: $(READY) ## break each adapter's error handling on purpose: the contract suites must notice
	@$(BIN)/python -m tests.mutations $(ARGS)

chaos: TOOLS := redis-server:redis-server
chaos: $(READY) tools ## each service down, alone and in pairs, in nine ways: prints the table and writes it
	@$(BIN)/python -m tests.chaos $(ARGS)

bench: $(READY) ## cold start, latency and parsing, measured beside what they are compared with
	@$(BIN)/python -m tests.benchmarks $(ARGS)

check: $(READY) ## format, lint, types
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/mypy --no-error-summary && echo "check: format, lint and types are clean"

lock: $(BIN)/uv ## compile requirements*.txt from requirements*.in, with hashes
	@$(BIN)/uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 requirements-dev.in -c requirements.txt -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 tests/tools.in -o tests/tools.txt
	@$(BIN)/uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 tests/benchmarks/peers/requirements.in -o tests/benchmarks/peers/requirements.txt
	@for version in 3.12 3.13; do $(BIN)/uv pip compile --quiet --no-header --python-version $$version requirements-dev.in -c requirements-dev.txt >/dev/null && echo "lock: resolves for Python $$version" || exit 1; done

$(BIN)/uv:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet uv

clean: ## remove the virtual environment and the embedded stack's data
	@rm -rf $(VENV) .venv-tools .lectern build *.egg-info
