# Two commands set up a bare machine: `make demo` and `make test`. Each builds .venv if needed; a stamp file that is
# older than pyproject.toml or constraints.txt makes the next call install again.

PYTHON ?= python3
VIDEO  ?=
OUT    ?= demo
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip install --quiet --constraint constraints.txt
WORKERS ?= 2

.PHONY: demo test lint nightly clean
.DELETE_ON_ERROR:

demo: .venv/.ready  ## simulate a recording (or take VIDEO=...), analyse it, write the report
ifeq ($(VIDEO),)
	$(BIN)/microgesture simulate --like imigue --minutes 1 --seed 7 --out $(OUT)/recording
	$(BIN)/microgesture analyze $(OUT)/recording/recording.npz --out $(OUT)/analysis
else
	$(BIN)/microgesture analyze "$(VIDEO)" --out $(OUT)/analysis
endif

test: lint  ## linters, types, floors of the house, all tests and doctests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS)

lint: .venv/.ready-dev  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

nightly: .venv/.ready-dev  ## the long test regime; run before a release
	MICROGESTURE_NIGHTLY=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS)

clean:  ## remove what the other targets made
	rm -rf .venv $(OUT) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is older than 3.10; name another with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.ready: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[pose-light]'
	$(PIP) --no-deps mediapipe==0.10.21
	@touch $@

.venv/.ready-dev: .venv/.ready
	$(PIP) --editable '.[pose-light,export,dev]'
	@touch $@
