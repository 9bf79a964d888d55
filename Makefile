# Every chore is one line here; each target makes the virtual environment first when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-long check format lint types docs lock bench clean

demo: .venv/ready
	@$(BIN)/bellhop demo $(if $(ONCE),--once)

test: .venv/ready
	$(BIN)/pytest -n 4 --dist loadfile

# The kill tests with 50 kills each; SEED=… repeats a run.
test-long: .venv/ready
	KILLS=50 $(BIN)/pytest -s --durations=0 tests/kill

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 4 --dist loadfile

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/ready
	$(BIN)/mypy

# The list in docs/settings.md is the settings model's own.
docs: .venv/ready
	sed '/^| variable/,$$d' docs/settings.md > docs/settings.tmp && $(BIN)/bellhop settings >> docs/settings.tmp
	mv docs/settings.tmp docs/settings.md

# requirements.lock pins everything, for Python 3.11 to 3.13 on every platform.
lock: .venv/ready
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --extra sandbox --extra gunicorn --extra otel --group dev pyproject.toml -o requirements.lock

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Bellhop needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

bench: .venv/ready
	@for bench in bench/*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
