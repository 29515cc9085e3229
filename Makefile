# What is done with this template, one line each: `make help`. Needs make, git and PYTHON.

PYTHON ?= python3
# The project as it lies here, unrendered.
PROJECT = {{cookiecutter.project_slug}}
BIN = .venv/bin
# More for pytest: make test ARGS="-k mail"
ARGS ?=

# Rendering copies what lies in the project's folder, so every cache lies elsewhere.
export PYTHONPYCACHEPREFIX = $(CURDIR)/.cache/pycache
# A process that compiles every module anew takes three times as long to start.
unexport PYTHONDONTWRITEBYTECODE
export RUFF_CACHE_DIR = $(CURDIR)/.cache/ruff
export MYPY_CACHE_DIR = $(CURDIR)/.cache/mypy
PYTEST = python -m pytest -o cache_dir="$(CURDIR)/.cache/pytest"

# uv takes the Python that is at hand.
export UV_PYTHON_DOWNLOADS = never

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-fast test-in-place test-combinations test-trees test-array
.PHONY: test-browser screenshots test-chaos reliability test-template lint format record-migrations clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

install: .venv/installed ## Install what is missing into .venv

demo: .venv/installed ## Render a project, start it, and watch a mail arrive (ONCE=1: then stop)
	@$(BIN)/python scripts/demo.py $(if $(ONCE),--once)

test: lint test-in-place test-template ## Run all checks and tests, as in CI (ARGS="-k mail")

test-fast: lint ## Run the checks, the project's tests in place on SQLite, and the default render
	$(IN_PLACE) --database=sqlite --ignore=durable/tests/faults
	$(BIN)/$(PYTEST) tests/test_render.py $(TWO) $(ARGS)

# The tests of the project and of the engine. Unrendered, the queues are those by workload.
IN_PLACE = cd '$(PROJECT)' && ../$(BIN)/$(PYTEST) apps config durable tests \
	--ignore=config/tests/test_queues_by_priority.py $(TWO) $(ARGS)

test-in-place: .venv/installed ## Run the tests of the project and of its engine, on both databases
	$(IN_PLACE) --database=postgresql
	$(IN_PLACE) --database=sqlite

test-combinations: .venv/installed ## Check the files of all 3,240 combinations
	$(BIN)/$(PYTEST) tests/test_combinations.py $(ARGS)

test-trees: .venv/installed ## Test the 180 distinct Python trees (ARGS=--every-test: all tests of each)
	$(BIN)/$(PYTEST) tests/test_trees.py $(TWO) $(ARGS)

test-array: .venv/installed ## Start projects in which each two answers meet, and send a mail in each
	$(BIN)/$(PYTEST) tests/test_covering_array.py $(TWO) $(ARGS)

test-browser: .venv/installed ## Use the running project in Chromium, with and without Channels
	$(BOTH) $(ARGS)

screenshots: .venv/installed ## The same, and keep the pictures that README shows
	$(BOTH) --screenshots $(ARGS)

test-chaos: .venv/installed ## Kill, stop, hang and empty every part under load, and count what arrives
	$(BIN)/$(PYTEST) tests/chaos $(ARGS)

reliability: .venv/installed ## The same, and write what came of it into docs/reliability.md
	$(BIN)/$(PYTEST) tests/chaos --reliability $(ARGS)

# Two at a time, each test on whichever process is free.
TWO = --numprocesses=2 --dist=worksteal
# With and without Channels side by side; xdist would start one of the two projects twice.
BOTH = @printf '%s\n' live polled | xargs -P 2 -I {} $(BIN)/$(PYTEST) tests/browser -k {}
# The chaos tests need both cores, so they run alone.
test-template: test-chaos
	$(BIN)/$(PYTEST) tests --ignore=tests/chaos --complete $(TWO) $(ARGS)

lint: .venv/installed ## Check style, types, imports and templates, of the project in place
	$(BIN)/ruff check hooks scripts tests
	$(BIN)/ruff format --check hooks scripts tests
	cd '$(PROJECT)' && ../$(BIN)/ruff check .
	cd '$(PROJECT)' && ../$(BIN)/ruff format --check .
	cd '$(PROJECT)' && ../$(BIN)/mypy .
	cd '$(PROJECT)' && ../$(BIN)/lint-imports --no-logo --no-cache
	cd '$(PROJECT)' && ../$(BIN)/djlint --check --lint apps durable

format: .venv/installed ## Bring the code into shape
	$(BIN)/ruff check --fix hooks scripts tests
	$(BIN)/ruff format hooks scripts tests
	cd '$(PROJECT)' && ../$(BIN)/ruff check --fix .
	cd '$(PROJECT)' && ../$(BIN)/ruff format .
	cd '$(PROJECT)' && ../$(BIN)/djlint --reformat --quiet apps durable

record-migrations: ## Record the migrations of a release; from then on they must not change
	$(PYTHON) scripts/record_migrations.py

clean: ## Remove what these commands made
	rm -rf .venv .tools .cache

.venv/installed: pyproject.toml $(PROJECT)/pyproject.toml scripts/requirements.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) says:" \
			"$$($(PYTHON) --version 2>&1): name another: make $(MAKECMDGOALS) PYTHON=python3.13"; \
		exit 1; } >&2
	@uv --version > /dev/null 2>&1 || $(MAKE) --no-print-directory .tools/bin/uv
	@uv --version > /dev/null 2>&1 && uv=uv || uv=.tools/bin/uv; \
		$$uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv && \
		$(PYTHON) scripts/requirements.py > .venv/requirements.txt && \
		$$uv pip install --python $(BIN)/python --requirements .venv/requirements.txt
	@touch $@

# Debian's Python has no venv until python3-venv is installed; its pip can do without.
.tools/bin/uv:
	@echo "uv is not installed, so it goes into .tools"
	@$(PYTHON) -m venv .tools > /dev/null 2>&1 && \
		.tools/bin/python -m pip install --quiet --disable-pip-version-check uv || \
		{ rm -rf .tools && $(PYTHON) -m pip install --quiet --target .tools uv; } || \
		{ echo "uv is missing and cannot be installed: install uv, or python3-venv" >&2; exit 1; }
