# Every chore is one line here; each target makes the virtual environment first when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
# The files begin in the order of tests/conftest.py: the longest first.
PYTEST := $(BIN)/pytest -n 8 --dist loadfile --no-loadscope-reorder
# The tests start Bellhop hundreds of times. Without compiled files on disk, each start compiles it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test compiled-tests test-redis test-cluster test-long soak sdk-contract api-clients upgrade-check own-stack check format lint types docs lock audit fuzz bench clean

demo: .venv/demo
	@$(BIN)/bellhop demo $(if $(ONCE),--once)

test: .venv/ready
	$(PYTEST)

# Compiles the tests. Without it, each process of the first run on a clean checkout compiles all of them.
compiled-tests: .venv/ready
	$(BIN)/pytest -qq --collect-only > /dev/null

# The tests that depend on Redis, for a Redis of another make: SANDBOX_REDIS=/path/to/redis-server. LONG=1 adds all tests
# that play whole calls, and all that kill processes. SHORT=1, which is what CI runs, leaves out tests that kill processes and
# take long: what they need of Redis, the others need too.
test-redis: .venv/ready
	$(PYTEST) --with-redis tests/worker tests/bellhop tests/webhook/intake/test_replication.py \
	  tests/e2e/test_redis_*.py tests/e2e/test_whole_path.py tests/upgrade/test_reads_the_old.py \
	  tests/flows/test_ringing.py tests/flows/test_what_stays.py $(if $(LONG),tests/kill tests/flows) \
	  $(if $(SHORT),--ignore-glob='*/test_queue_worker_*' --ignore-glob='*/test_suspects.py',\
	  tests/kill/test_failover.py tests/kill/test_redis_*.py)

# Whole calls, kills and the property model with Bellhop on a Redis Cluster of three masters. SHORT=1 is what CI runs.
# `make test` has the tests of what happens to the nodes.
test-cluster: .venv/ready
	TEST_REDIS=cluster $(PYTEST) $(if $(SHORT),tests/flows/test_ringing.py tests/flows/test_what_stays.py,\
	  tests/flows tests/bellhop/domain/test_call_model.py \
	  $(addprefix tests/kill/test_,$(addsuffix .py,cluster_faults doubled_notice lost_attempts rolling_restart \
	  second_way_killed stopped_worker web_killed worker_killed)))

# The kill tests with 50 kills each, 40 stops of each start, 10,000 calls with lost webhooks, and 100,000
# odd bodies; SEED=… repeats a run of the first.
test-long: .venv/ready
	EXAMPLES=10000 $(BIN)/pytest tests/worker/test_lost_webhooks_model.py
	EXAMPLES=100000 $(BIN)/pytest --timeout 600 tests/fuzz/test_two_readers.py
	KILLS=50 $(BIN)/pytest -s --durations=0 tests/kill
	STARTS=40 $(BIN)/pytest tests/e2e/test_stop_while_starting.py

# A fault every two seconds while phones ring: each kind of fault for its share of MINUTES (docs/reliability.md).
MINUTES ?= 30
soak: .venv/ready
	$(BIN)/python -m bench.soak --minutes $(MINUTES)

# Tests Stream's JavaScript packages with what Bellhop sends and reads (tests/sdk_contract/README.md). It needs Node and npm.
# The packages are pinned; NEWEST=1 takes the newest SDK.
sdk-contract: .venv/demo
	cd tests/sdk_contract && npm install --no-save --loglevel=error $(if $(NEWEST),$$(./newest.sh)) && node --test

# Makes typed clients from the OpenAPI document, compiles them, and calls a running Bellhop (tests/api_clients/README.md).
api-clients: .venv/clients/ready
	cd tests/api_clients && npm install --no-save --loglevel=error
	$(BIN)/python tests/api_clients/check.py .venv/clients/bin

.venv/clients/ready: .venv/ready requirements-clients.lock
	$(PYTHON) -m venv .venv/clients
	.venv/clients/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-clients.lock
	@touch $@

# Tests that the older version can run beside this one, and after it. It is checked out into a temporary folder, which
# needs the whole git history, and gets an environment of its own if it pins other packages. UPGRADE_FROM=… selects
# another version.
upgrade-check: .venv/ready
	$(BIN)/python tests/upgrade/check.py $(UPGRADE_FROM)

# Tries RQ's tools, other servers and installers on Bellhop (docs/own-stack.md). It needs a package index.
own-stack: .venv/ready
	$(BIN)/python tests/own_stack/check.py

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/ready
	$(BIN)/mypy

# The tables of docs/settings.md and docs/outcomes.md are the code's own; docs/client-code.md shows clients/snippets. A test
# compares the tables of docs/phones.md.
docs: .venv/ready
	sed '/^| variable/,$$d' docs/settings.md > docs/settings.tmp && $(BIN)/bellhop settings >> docs/settings.tmp
	mv docs/settings.tmp docs/settings.md
	sed '/^| word/,$$d' docs/outcomes.md > docs/outcomes.tmp && $(BIN)/bellhop outcomes >> docs/outcomes.tmp
	mv docs/outcomes.tmp docs/outcomes.md
	$(BIN)/python clients/show_in_docs.py

# requirements.lock pins everything, for Python 3.11 to 3.14 on every platform. Parts of it: requirements-runtime.lock, what
# a deployed Bellhop needs, requirements-demo.lock, what the demo does, and requirements-build.lock, what its wheel is made
# with. `make audit` and `make api-clients` have locks of their own.
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command "make lock"

lock: .venv/ready
	$(BIN)/pip install --quiet uv
	$(PIN) --extra sandbox --extra gunicorn --extra otel --extra aws --group dev --group fuzz --group build pyproject.toml \
	  -o requirements.lock
	$(PIN) --extra otel --extra aws --constraint requirements.lock pyproject.toml -o requirements-runtime.lock
	$(PIN) --group build --constraint requirements.lock -o requirements-build.lock
	$(PIN) --group audit --constraint requirements.lock --no-emit-package pip -o requirements-audit.lock
	$(PIN) --group clients --constraint requirements.lock --no-emit-package ruff -o requirements-clients.lock
	$(PIN) --extra sandbox --constraint requirements.lock pyproject.toml -o requirements-demo.lock

# Known holes in what is pinned. A hole fails it; so does it when no advisory service answers, unless TOLERANT=1 (as in CI).
audit: .venv/audit/ready
	.venv/audit/bin/python .ci/audit.py $(if $(TOLERANT),--unless-unreachable)

.venv/audit/ready: .venv/ready requirements-audit.lock
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-audit.lock
	@touch $@

# Coverage-guided fuzzing of the door, SECONDS for each target; what it finds new is kept in tests/fuzz/corpus.
SECONDS ?= 300
fuzz: .venv/ready
	@for target in signature reading effects; do $(BIN)/python tests/fuzz/run.py $$target --seconds $(SECONDS) || exit 1; done

INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps

# Bellhop and what it needs to run; the tests' and checks' tools come on top when one of them is asked for.
.venv/demo: requirements-demo.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Bellhop needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@echo "Making .venv, once: 60 packages, 140 MB, a minute or two …"
	@$(PYTHON) -m venv .venv
	@$(INSTALL) --require-hashes -r requirements-demo.lock
	@$(INSTALL) --require-hashes -r requirements-build.lock
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

.venv/ready: requirements.lock .venv/demo
	@echo "Adding the tests' and checks' tools to .venv, once: 60 packages more, 600 MB, some minutes …"
	@$(INSTALL) --require-hashes -r requirements.lock
	@touch $@

# Every figure of docs/performance.md and docs/scaling.md; on a machine that does nothing else.
bench: .venv/ready
	@$(BIN)/python -m bench

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/*/node_modules
