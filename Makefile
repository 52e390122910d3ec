# SPDX-License-Identifier: Apache-2.0
# Everything a person or a CI machine does here, one word each: `make help`.
#
# Needs Python 3.11 or later, make, and a package index that pip can reach. `.venv` is built when it is missing or older
# than pyproject.toml or constraints.txt; tests run against the built wheel, never against src/.

PYTHON ?= python3
VENV ?= .venv
# Parallel test processes: as many as a small CI machine has cores. Most tests wait for leases and windows to end, so that
# four are quicker there (JOBS=4), but those that measure time then compete with those that storm. Each has servers of its
# own, up to 1.5 GB in all.
JOBS ?= 2
# Mutants wait for nothing: as many as cores.
MUTANT_JOBS ?= 2
# Extra arguments: `make test ARGS='tests/unit -x'`, `make demo ARGS='--spans 500'`, `make bench ARGS=--quick`.
ARGS ?=
# Which room `make soak` exercises.
ROOM ?= streams

# What the caller's shell happens to import must not reach the tests.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE VIRTUAL_ENV
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := $(VENV)/bin
PY := $(BIN)/python
# pip's chatter about its sources is no news; errors still come through.
PIP := $(PY) -m pip --quiet --no-input
# Folders too: a file that was deleted shows as a change of its folder.
SOURCES := $(shell find src ! -name '*.py[co]' ! -name __pycache__ 2>/dev/null)
EXTRAS := all,dev,bench

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench soak mutants servers docs screenshots wheel constraints venv clean

# A .venv whose interpreter is gone (moved, or the system's Python replaced) counts as missing.
ifneq ($(wildcard $(VENV)/.deps),)
ifeq ($(shell $(PY) -c 'print(1)' 2>/dev/null),)
$(shell rm -rf $(VENV))
endif
endif

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-12s %s\n' "$$name" "$$what"; done

demo: $(VENV)/.installed  ## the main job: a trace log through the streams while workers are killed; prints the ledger
	@$(BIN)/holdfast demo $(ARGS)

test: $(VENV)/.installed  ## all tests, against the built wheel
	HOLDFAST_WHEEL=1 $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.installed  ## linters, types, floors, generated pages
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(BIN)/lint-imports --no-cache
	$(PY) docs/generate.py --check

bench: $(VENV)/.installed  ## throughput and latency beside other libraries: JSON and a table
	$(PY) -m benchmarks $(ARGS)

# What fuzzes gossip is no dependency: its wheels are large, for one system, and a different one for each Python.
soak: $(VENV)/.installed  ## the long fault runs of one room: make soak ROOM=streams
	@if [ '$(ROOM)' = gossip ] && [ ! -d build/fuzz/atheris ]; then \
		$(PIP) install --only-binary :all: --target build/fuzz atheris \
			|| echo 'soak: atheris cannot be had here; the test that needs it skips' >&2; fi
	HOLDFAST_WHEEL=1 $(PY) -m pytest -m soak --timeout 7200 -k '$(ROOM)' tests/faults $(ARGS)

mutants: $(VENV)/.installed  ## remove each guard in turn and demand that its test fails
	$(PY) tests/mutants/run.py --jobs $(MUTANT_JOBS) $(ARGS)

# Each package on its own: one that this distribution lacks must not keep the others away.
servers:  ## install the servers, and the browser, that tests can use (Debian, Ubuntu; needs root)
	apt-get update
	for package in redis-server redis-sentinel faketime libfaketime postgresql mariadb-server etcd-server zookeeper \
		rabbitmq-server serf prometheus-alertmanager prometheus chromium chromium-driver npm; do \
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$package \
			|| echo "servers: $$package could not be installed; the tests that need it skip, unless it is there" >&2; \
	done

docs: $(VENV)/.installed  ## write the generated pages again
	$(PY) docs/generate.py

screenshots: $(VENV)/.installed  ## draw the console's pictures in docs/screenshots again
	$(PY) -m tests.browser.screenshots

wheel: build/wheel/.built  ## build the wheel into build/wheel

venv: $(VENV)/.installed  ## build .venv and nothing else

# Resolved afresh in an empty environment, so that nothing lying about in .venv gets pinned.
constraints:  ## pin today's newest versions in constraints.txt
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip --quiet --no-input install '.[$(EXTRAS)]'
	{ echo '# Exact versions of everything .venv holds; `make constraints` writes this file.'; \
		build/constraints/bin/python -m pip freeze --exclude holdfast; } > build/constraints.txt
	@if grep -nE '@|://|^-' build/constraints.txt; then echo 'constraints: only name==version may be pinned' >&2; exit 1; fi
	mv build/constraints.txt constraints.txt

clean:  ## remove what was built, .venv included
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# The dependencies, pinned. The package itself comes as a wheel, below; a stray or editable copy is taken out.
$(VENV)/.deps: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'holdfast needs Python 3.11 or later; name one: make PYTHON=python3.12 …' >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo 'this Python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p build
	@$(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		extras = p["optional-dependencies"]; \
		print(*p["dependencies"], *(line for name, lines in extras.items() if name != "all" for line in lines), sep="\n")' \
		> build/requirements.txt
	$(PIP) install -r build/requirements.txt -c constraints.txt
	-@$(PIP) uninstall --yes holdfast 2>/dev/null
	@rm -f $(VENV)/.installed
	@touch $@

build/wheel/.built: $(VENV)/.deps $(SOURCES) pyproject.toml README.md LICENSE NOTICE
	@rm -rf build/wheel
	$(PY) -P -m build --wheel --no-isolation --outdir build/wheel . > /dev/null
	@touch $@

$(VENV)/.installed: $(VENV)/.deps build/wheel/.built
	$(PIP) install --no-deps --force-reinstall --no-index build/wheel/*.whl
	@touch $@
