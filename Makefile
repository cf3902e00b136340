# Everything installs itself into .venv; the only thing asked of the machine is a Python with venv.
PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: study test test-real check bench peers validate browser plastimatch clean

$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is missing. Install it with: sudo apt-get install -y python3-venv"; exit 1; }
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	@echo "installing the locked environment into $(VENV)"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv sync --locked --quiet --compile-bytecode
	@touch $@

study: $(STAMP)  ## compare three ways to time radiosurgery of a resection cavity
	$(BIN)/lacuna study run examples/timing.toml

test: $(STAMP) browser  ## the tests, under 15 minutes on 2 cores
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-real: $(STAMP) plastimatch  ## beside plastimatch and on a real MRI: make test-real DATA=FOLDER (a DICOM MR series)
	LACUNA_REAL_MRI="$(DATA)" $(BIN)/python -m pytest -m real tests/test_real_parts.py

plastimatch:
	@test -x /usr/bin/plastimatch || { test "$$(id -u)" = 0 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq plastimatch >/dev/null; } \
	  || echo "plastimatch is missing. Install it with: sudo apt-get update && sudo apt-get install -y plastimatch"

browser:  ## chromium, which the tests of the report open
	@test -x /usr/bin/chromium || { test "$$(id -u)" = 0 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	  || echo "chromium is missing. Install it with: sudo apt-get update && sudo apt-get install -y chromium"

check: $(STAMP)  ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## speed of the kernels, as ratios in one run
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only -o addopts=""

PEERS := .venv-peers
$(PEERS)/.installed: benchmarks/peers/requirements.txt $(STAMP)
	@echo "installing the peers into $(PEERS)"
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(PEERS)/bin/python -r $<
	@touch $@

peers: $(PEERS)/.installed  ## Lacuna beside pyRadPlan, pyRadMC and ompMC on their jobs; half an hour
	$(BIN)/python benchmarks/peers/compare.py plan field

validate: $(STAMP)  ## the engines against their reference cases; writes results/validation.html and docs/validation.md
	$(BIN)/lacuna validate --markdown docs/validation.md

clean:
	rm -rf $(VENV) $(PEERS) .cache .pytest_cache .mypy_cache .ruff_cache .benchmarks
