# The commands of this template: `make help` lists them. They need make, git and PYTHON.

PYTHON ?= python3
# The project, unrendered.
PROJECT = {{cookiecutter.project_slug}}
BIN = .venv/bin
# The database of `make test-unrendered`. `make test-trees` runs the same tests on SQLite, in its first tree.
DATABASE ?= postgresql
# More arguments for pytest: make test ARGS="-k mail"
ARGS ?=

# Caches stay out of the project's folder; otherwise every render copies and removes them.
export PYTHONPYCACHEPREFIX = $(CURDIR)/.cache/pycache
# With it, every process compiles every module again, which triples its start.
unexport PYTHONDONTWRITEBYTECODE
export RUFF_CACHE_DIR = $(CURDIR)/.cache/ruff
export MYPY_CACHE_DIR = $(CURDIR)/.cache/mypy
PYTEST = python -m pytest -o cache_dir="$(CURDIR)/.cache/pytest"

# uv uses an installed Python.
export UV_PYTHON_DOWNLOADS = never

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-fast test-unrendered test-combinations test-trees test-array
.PHONY: test-browser screenshots test-chaos reliability test-template lint format
.PHONY: measure-console record-migrations clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

install: .venv/installed ## Install what is missing into .venv

demo: .venv/demo ## Render a project, start it, and deliver a mail (ONCE=1: then stop)
	@$(BIN)/python scripts/demo.py $(if $(ONCE),--once)

test: lint test-unrendered test-template ## Run all checks and tests, as in CI (ARGS="-k mail")

test-fast: lint ## Run lint, the unrendered tests on SQLite, and the tests of rendering
	$(UNRENDERED) --database=sqlite --ignore=durable/tests/faults
	$(BIN)/$(PYTEST) tests/test_render.py $(TWO) $(ARGS)

# The tests of the project and of its engine. Unrendered, the queues are by workload.
UNRENDERED = cd '$(PROJECT)' && ../$(BIN)/$(PYTEST) apps config durable tests \
	--ignore=config/tests/test_queues_by_priority.py $(TWO) $(ARGS)

test-unrendered: .venv/installed ## Run the unrendered tests of the project and its engine (DATABASE=sqlite)
	$(UNRENDERED) --database=$(DATABASE)

test-combinations: .venv/installed ## Check the files of all 3,240 combinations
	$(BIN)/$(PYTEST) tests/test_combinations.py $(ARGS)

test-trees: .venv/installed ## Test the 180 distinct Python trees (ARGS=--every-test: all tests in each)
	$(BIN)/$(PYTEST) tests/test_trees.py $(TWO) $(ARGS)

test-array: .venv/installed ## Start projects that cover every pair of answers, and send a mail in each
	$(BIN)/$(PYTEST) tests/test_covering_array.py $(TWO) $(ARGS)

test-browser: .venv/installed ## Use the running project in Chromium, with and without Channels
	$(BOTH) $(ARGS)

screenshots: .venv/installed ## Run the browser tests, and save the pictures of README
	$(BOTH) --screenshots $(ARGS)

test-chaos: .venv/installed ## Kill, stop, hang and empty every part under load, and count losses
	$(BIN)/$(PYTEST) tests/chaos $(ARGS)

reliability: .venv/installed ## Run the chaos tests, and write the results into docs/reliability.md
	$(BIN)/$(PYTEST) tests/chaos --reliability $(ARGS)

# Two processes; each test runs in the one that is free.
TWO = --numprocesses=2 --dist=worksteal
# With and without Channels in parallel; xdist would start one of the two projects twice.
BOTH = @printf '%s\n' live polled | xargs -P 2 -I {} $(BIN)/$(PYTEST) tests/browser -k {}
# The chaos tests need both cores, so they run alone.
test-template: test-chaos
	$(BIN)/$(PYTEST) tests --ignore=tests/chaos --complete --durations=30 $(TWO) $(ARGS)

lint: .venv/installed ## Check style, types, imports and templates
	$(BIN)/ruff check hooks scripts tests
	$(BIN)/ruff format --check hooks scripts tests
	cd '$(PROJECT)' && ../$(BIN)/ruff check .
	cd '$(PROJECT)' && ../$(BIN)/ruff format --check .
	cd '$(PROJECT)' && ../$(BIN)/mypy .
	cd '$(PROJECT)' && ../$(BIN)/lint-imports --no-logo --no-cache
	cd '$(PROJECT)' && ../$(BIN)/djlint --check --lint apps durable

format: .venv/installed ## Format the code
	$(BIN)/ruff check --fix hooks scripts tests
	$(BIN)/ruff format hooks scripts tests
	cd '$(PROJECT)' && ../$(BIN)/ruff check --fix .
	cd '$(PROJECT)' && ../$(BIN)/ruff format .
	cd '$(PROJECT)' && ../$(BIN)/djlint --reformat --quiet apps durable

measure-console: .venv/installed ## Measure the console's pages at 10 million rows (15 GB, an hour), and write docs/console_costs.md
	$(BIN)/python scripts/measure_console.py --write

record-migrations: ## Record the migrations of a release; from then on they must not change
	$(PYTHON) scripts/record_migrations.py

clean: ## Remove environments and caches
	rm -rf .venv .tools .cache

.venv/installed: pyproject.toml $(PROJECT)/pyproject.toml scripts/requirements.py .venv/created
	@$(PYTHON) scripts/requirements.py > .venv/requirements.txt && \
		$(UV) pip install --python $(BIN)/python --requirements .venv/requirements.txt
	@touch $@ .venv/demo

# `make demo` needs neither the tools nor the project's packages, which the demo installs for itself.
.venv/demo: pyproject.toml .venv/created
	@$(UV) pip install --python $(BIN)/python --group demo
	@touch $@

UV = $$(uv --version > /dev/null 2>&1 && echo uv || echo .tools/bin/uv)

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) reports:" \
			"$$($(PYTHON) --version 2>&1): use another: make $(MAKECMDGOALS) PYTHON=python3.13"; \
		exit 1; } >&2
	@uv --version > /dev/null 2>&1 || $(MAKE) --no-print-directory .tools/bin/uv
	@$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@touch $@

# Debian's Python has no venv without the package python3-venv; pip works without it.
.tools/bin/uv:
	@echo "Installing uv into .tools"
	@$(PYTHON) -m venv .tools > /dev/null 2>&1 && \
		.tools/bin/python -m pip install --quiet --disable-pip-version-check uv || \
		{ rm -rf .tools && $(PYTHON) -m pip install --quiet --target .tools uv; } || \
		{ echo "uv cannot be installed: install uv or python3-venv" >&2; exit 1; }
