# Everything a developer runs. Each target first makes what it needs in .venv, from nothing but
# Python 3.11-3.13, a C++ compiler and make; stamps keep the second run quick. The benchmarks, and the
# libraries for JAX, have environments of their own, since today's JAX wants Python 3.12 or newer.

PYTHON  ?= python3
WORKERS ?= 2
ARGS    ?=

VENV    := .venv
BENCH   ?= .venv-bench
COMPAT  ?= .venv-compat
NEWER   := $(BENCH) $(COMPAT)
ENVS    := $(VENV) $(NEWER)
PY      := $(VENV)/bin/python
STAMPS  := $(VENV)/.stamps
INSTALL := -m pip install -qq --disable-pip-version-check --no-input
NATIVE  := pyproject.toml CMakeLists.txt $(wildcard src/native/*/*.cc src/native/*/*.h)
FILES   := $(sort $(shell find src -name '*.py'))
CODE    := src tests benchmarks examples $(wildcard tools)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test test-full fuzz lint types format bench sweep compat test-asan test-tsan clean always
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:  ## name the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' \
	  | awk -F'\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

demo: $(STAMPS)/demo  ## train a network on real handwritten digits and draw a picture
	@$(PY) examples/digits.py $(ARGS)

test: lint $(STAMPS)/demo  ## style, types and all tests
	@$(PY) -m pytest -q -n $(WORKERS) $(ARGS)

test-full: $(STAMPS)/test  ## all that is generated from tables, of which make test takes a sample: a few minutes more
	@COVECTOR_TEST_FULL=1 $(PY) -m pytest -q -n $(WORKERS) $(ARGS)

fuzz: $(STAMPS)/test  ## many more random programs and kernels, never the same ones: about an hour
	@CI= COVECTOR_TEST_TIMES=40 $(PY) -m pytest -q -n $(WORKERS) tests/compile/test_random_programs.py tests/compile/test_twin_programs.py \
	  tests/compile/test_compositions.py tests/lax/test_random_whiles.py \
	  tests/compile/test_oracle.py tests/surface/test_against_numpy.py tests/api/test_random_compositions.py $(ARGS)

lint: $(STAMPS)/test  ## ruff (rules and format) and pyright
	@$(PY) -m ruff check --quiet $(CODE)
	@$(PY) -m ruff format --check --quiet $(CODE)
	@$(PY) -m pyright

types: $(STAMPS)/test  ## pyright alone
	@$(PY) -m pyright

format: $(STAMPS)/test  ## rewrite the sources in the house format
	@$(PY) -m ruff check --fix --quiet $(CODE) || true
	@$(PY) -m ruff format $(CODE)

bench: $(BENCH)/.stamps/bench  ## compare with JAX, PyTorch, NumPy and Numba; writes benchmarks/results.md
	@$(BENCH)/bin/python -m benchmarks.run $(ARGS)

sweep: $(BENCH)/.stamps/bench  ## the same for some 300 operations at many sizes, worst ratio first: about an hour
	@$(BENCH)/bin/python -m benchmarks.sweep $(ARGS)

compat: $(COMPAT)/.stamps/compat  ## run libraries for JAX on Covector, and compare with JAX
	@$(COMPAT)/bin/python -m pytest -q --confcutdir=tests/compat tests/compat $(ARGS)

test-asan: $(STAMPS)/test  ## the native tests, and those of what stands on them, under the address and undefined-behaviour sanitizers
	@tests/native/asan.sh $(ARGS)

test-tsan: $(STAMPS)/test  ## the runtime, called by many threads at once, under the thread sanitizer
	@tests/native/tsan.sh

clean:  ## remove the environment and every build product
	rm -rf .venv .venv-bench .venv-compat build dist examples/output .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------ what the targets need

$(STAMPS)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
	  f"Covector needs Python 3.11-3.13; $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@$(PY) -c '' 2>/dev/null || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@$(PY) $(INSTALL) --upgrade 'pip>=25.1'
	@mkdir -p $(@D) && touch $@

# The newest of the machine's own Pythons that serves, pyenv's among them.
$(NEWER:%=%/.stamps/python): %/.stamps/python:
	@for python in $*/bin/python python3.13 python3.12 $(PYTHON) \
	    $$(ls -rd $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.1[23].*/bin/python 2>/dev/null); do \
	  $$python -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue; \
	  [ -x $*/bin/python ] || { echo "making $*"; $$python -m venv $*; } || exit 1; \
	  $*/bin/python $(INSTALL) --upgrade 'pip>=25.1' && mkdir -p $(@D) && touch $@; exit; \
	done; echo "JAX needs Python 3.12 or 3.13: make $(MAKECMDGOALS) PYTHON=..."; exit 1

# An editable installation knows the Python files by name, so a new one has to be installed.
$(ENVS:%=%/.stamps/files): %/.stamps/files: always | %/.stamps/python
	@echo '$(FILES)' | cmp -s - $@ || echo '$(FILES)' > $@

$(ENVS:%=%/.stamps/package): %/.stamps/package: $(NATIVE) %/.stamps/files | %/.stamps/python
	@echo "building covector in $*"
	@$*/bin/python $(INSTALL) --group build
	@$*/bin/python $(INSTALL) --no-build-isolation -e .
	@touch $@

$(STAMPS)/demo $(STAMPS)/test: $(STAMPS)/%: pyproject.toml $(STAMPS)/package
	@echo "installing what $* needs"
	@$(PY) $(INSTALL) --group $*
	@touch $@

$(COMPAT)/.stamps/compat: pyproject.toml $(COMPAT)/.stamps/package
	@echo "installing the libraries"
	@$(COMPAT)/bin/python $(INSTALL) --group compat
	@touch $@

# A peer that cannot be had is left out, and the report says so.
$(BENCH)/.stamps/bench: pyproject.toml $(BENCH)/.stamps/package
	@echo "installing what the benchmarks need"
	@$(BENCH)/bin/python $(INSTALL) --group bench
	@for peer in jax torch numba; do \
	  $(BENCH)/bin/python -c "import $$peer" 2>/dev/null && continue; \
	  $(BENCH)/bin/python $(INSTALL) --group bench-$$peer || echo "$$peer is left out: pip cannot install it"; \
	done
	@touch $@
