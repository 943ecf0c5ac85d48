# Each target prints the command that it runs. With PYTHON= nothing is installed: that interpreter is used unchanged.
SHELL := /bin/sh
.DEFAULT_GOAL := help

DEVICE ?= cpu
CONFIG ?= configs/default.yaml
SET ?=
OUT ?=
RESUME ?=
ANYWAY ?=
TRUST ?=
A ?=
B ?=
A_PYTHON ?=
B_PYTHON ?=
A_PATH ?=
B_PATH ?=
A_ENV ?=
B_ENV ?=
MARGIN ?=
BY ?=
FAIL_ON ?=
LEAST ?=
UNTOLD ?=
MODEL ?= resnet18
SIZE ?= 3x224x224
SHAPE ?= 64->64 56x56 k3
PAGE ?=
FUZZ ?= 10000
TORCH ?=
PYTHON ?=

# Refuse a mistyped variable: make would ignore it and measure something else. Variables of other targets are allowed.
KNOWN := DEVICE CONFIG SET OUT RESUME ANYWAY TRUST A B A_PYTHON B_PYTHON A_PATH B_PATH A_ENV B_ENV MARGIN BY FAIL_ON LEAST UNTOLD MODEL SIZE SHAPE PAGE FUZZ TORCH PYTHON PYTHONPATH VENV SHELL MAKEFLAGS MFLAGS MAKE PIP_%
GIVEN := $(foreach v,$(.VARIABLES),$(if $(findstring command line,$(origin $v)),$v))
STRANGE := $(filter-out $(KNOWN),$(GIVEN))
$(if $(STRANGE),$(error There is no variable $(STRANGE): see make help))

VENV := .venv
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python

ifeq ($(strip $(PYTHON)),)
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_TEST := $(READY_DEV)
else
PY := $(PYTHON)
READY := python-fits
READY_DEV := python-fits-dev
READY_TEST := python-fits-test
# The source tree runs without being installed, in the workers too.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
endif

BENCH := $(PY) -m bench
WHERE := $(if $(OUT), --out '$(OUT)')
DESPITE := $(if $(filter-out 0 no,$(ANYWAY)), --anyway)
TRUSTED := $(if $(filter-out 0 no,$(TRUST)), --trust)
# A list may be written as in YAML, kernel=[3, 5]: its blanks are removed to make it one word.
COMMA := ,
BLANK := $(subst ,, )
WORDS := $(subst [$(BLANK),[,$(subst $(BLANK)],],$(subst $(COMMA)$(BLANK),$(COMMA),$(strip $(SET)))))
SETS := $(foreach s,$(WORDS), --set '$(s)')
STUDY := $(or $(OUT),results/study-$(shell date -u +%Y%m%dT%H%M%SZ))
COMPARED = $(if $(MARGIN), --margin '$(MARGIN)')$(if $(FAIL_ON), --fail-on '$(FAIL_ON)')$(if $(LEAST), --least '$(LEAST)')$(if $(UNTOLD), --untold '$(UNTOLD)')$(if $(BY), --by '$(BY)')$(if $(PAGE), --html '$(PAGE)')
SIDES = $(if $(A_PYTHON), --a '$(A_PYTHON)')$(if $(B_PYTHON), --b '$(B_PYTHON)')$(if $(A_PATH), --a-path '$(A_PATH)')$(if $(B_PATH), --b-path '$(B_PATH)')$(foreach v,$(A_ENV), --a-env '$(v)')$(foreach v,$(B_ENV), --b-env '$(v)')
SHOWN = '$(or $(OUT),results/latest)'

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup bench ab advise try smoke test test-bench test-faults test-fleet test-fuzz test-gpu test-torch test-page test-wheel bench-harness mutants check gallery aa reproduce verdict study plots report doctor compare clean python-fits python-fits-dev python-fits-test

help: ## list targets and variables
	@awk 'BEGIN { FS = ":.*## "; print "Targets" } /^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables'
	@echo '  DEVICE      the device: cpu, cuda or cpu,cuda:0; sim:h100 is predicted (now: $(DEVICE))'
	@echo '  CONFIG      the sweep (now: $(CONFIG))'
	@echo '  SET         axes to override: SET="channels=32,64 kernel=3"'
	@echo '  OUT         the results folder to write or to show (default: a new one; results/latest)'
	@echo '  RESUME      the results folder of a run to continue: make bench RESUME=results/...'
	@echo '  TRUST       1: with RESUME, run the own blocks that its folder names'
	@echo '  ANYWAY      1: measure although a check of the doctor is red; every row is marked'
	@echo '  A, B        the runs to compare: make compare A=results/... B=results/...'
	@echo '  A_PYTHON, B_PYTHON  for make ab: the Python of each side, or the folder of its environment'
	@echo '  A_PATH, B_PATH  for make ab: a folder with the modules of each side'
	@echo '  A_ENV, B_ENV  for make ab: variables of each side, as NAME=VALUE'
	@echo '  MARGIN      for make compare: the smallest change that matters (default: 5%)'
	@echo '  FAIL_ON     for make compare: fail if all rows together or one are slower, or changed (make: status 2)'
	@echo '  LEAST       for make compare: a slow-down that FAIL_ON must have been able to see (default: 10%)'
	@echo '  UNTOLD      for make compare: pass, if FAIL_ON may pass where it can not tell (default: fail)'
	@echo '  BY          for make compare: FAIL_ON judges speedups or times (default: times on one machine)'
	@echo '  MODEL       for make advise: an import path such as mynet:base, or a network (now: $(MODEL))'
	@echo '  SIZE        for make advise: the input, channels x height x width (now: $(SIZE))'
	@echo '  SHAPE       for make try: one layer (now: $(SHAPE))'
	@echo '  PAGE        for make compare: the page to write (default: compare.html beside the pictures)'
	@echo '  FUZZ        for make test-fuzz: the number of new cases (now: $(FUZZ))'
	@echo '  TORCH       for make test-torch: a release of torch, as TORCH=2.6.0'
	@echo '  PYTHON      an interpreter that has torch; it is used unchanged and nothing is installed'

setup: $(READY) ## make .venv and install what measuring needs (other targets do this when needed)

bench: $(READY) ## the main job: measure CONFIG on DEVICE, then tables, plots and a page
	$(BENCH) run $(if $(RESUME),--resume '$(RESUME)'$(TRUSTED),'$(CONFIG)' --device '$(DEVICE)')$(WHERE)$(SETS)$(DESPITE)

smoke: $(READY) ## the main job in a minute: three shapes, wide intervals
	$(BENCH) run configs/smoke.yaml --device '$(DEVICE)'$(WHERE)$(SETS)$(DESPITE)

reproduce: $(READY) ## the section on speed: measured and judged sentence by sentence (under 20 minutes a device)
	$(BENCH) run configs/speed_thinking.yaml --device '$(DEVICE)'$(WHERE)$(SETS)$(DESPITE)

verdict: $(READY) ## a run's verdict on each claim (OUT=results/...)
	$(BENCH) verdict $(SHOWN)

aa: $(READY) ## A/A test: blocks against themselves, for this machine's noise (about eight minutes)
	$(BENCH) aa --device '$(DEVICE)'$(WHERE)$(SETS)$(DESPITE)

study: $(READY) ## repeat the study of docs/METHOD.md on this machine (under 20 minutes on two cores)
	mkdir -p '$(STUDY)'
	$(PY) tools/study/collect.py '$(STUDY)/samples.jsonl.gz'
	$(BENCH) aa --pairs 60 --out '$(STUDY)/aa'$(DESPITE)
	$(PY) tools/study/judge.py '$(STUDY)/samples.jsonl.gz' '$(STUDY)/aa'

plots: $(READY) ## write a run's tables, plots, page and summary again, from its journal (OUT=results/...)
	$(BENCH) report $(SHOWN)

report: $(READY) ## the same as plots
	$(BENCH) report $(SHOWN)

ab: $(READY) ## two Pythons or source trees against each other in one run (B_PYTHON=environment), about a minute
	$(BENCH) ab '$(if $(filter file,$(origin CONFIG)),configs/ab.yaml,$(CONFIG))' --device '$(DEVICE)'$(SIDES)$(WHERE)$(SETS)$(DESPITE)

advise: $(READY) ## which of a model's convolutions to replace (MODEL=mynet:base SIZE=3x224x224), some minutes
	$(BENCH) advise '$(MODEL)' --size '$(SIZE)' --device '$(DEVICE)'$(WHERE)$(SETS)$(DESPITE)

try: $(READY) ## time one layer at once (SHAPE="32->64 56x56 k3 s2")
	$(BENCH) try '$(SHAPE)' --device '$(DEVICE)'$(WHERE)$(SETS)$(DESPITE)

doctor: $(READY) ## check whether this machine is fit to measure on DEVICE, and what to do
	$(BENCH) doctor --device '$(DEVICE)'

compare: $(READY) ## compare two runs, row by row, in pictures and on a page (A=results/... B=results/...)
	$(if $(and $(A),$(B)),,$(error Name two runs: make compare A=results/... B=results/...))$(BENCH) compare '$(A)' '$(B)'$(COMPARED)$(WHERE)

test: $(READY_DEV) ## the whole test suite; it measures no speed
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-faults: $(READY_DEV) ## what docs/RELIABILITY.md promises: kills, full disks, damaged files
	$(PY) -m pytest -n 2 -m fault

test-fleet: $(READY_DEV) ## several machines as one: shards, their merge, a Dask cluster on loopback; half a minute
	$(PY) -m pytest tests/test_cluster.py tests/test_shards.py

test-bench: $(READY_DEV) ## second opinions: our timer against torch's and pytest-benchmark's, about a minute
	$(BENCH) run configs/card.yaml --device '$(DEVICE)'$(WHERE) --set second_opinions=1$(SETS)$(DESPITE)

test-fuzz: $(READY_DEV) ## draw new configs, folders, tables and command lines that may bring bench down
	FUZZ='$(FUZZ)' $(PY) -m pytest tests/test_fuzz.py -n 2

test-gpu: $(READY_TEST) ## self-checks on a CUDA GPU: clocks, events, graphs, memory, launches, precision
	$(PY) -m pytest tests/gpu --device '$(or $(filter-out cpu,$(DEVICE)),cuda:0)'

test-torch: $(if $(strip $(PYTHON)),,$(VENV)/bin/python) ## make smoke with another torch, in a fresh environment below build (TORCH=2.6.0)
	$(if $(TORCH),,$(error Name a release: make test-torch TORCH=2.6.0))$(PY) -m venv --clear 'build/torch-$(TORCH)'
	'build/torch-$(TORCH)/bin/python' -m pip install -qq --disable-pip-version-check 'torch==$(TORCH)' .
	'build/torch-$(TORCH)/bin/bench' run smoke --device '$(DEVICE)'$(WHERE)$(SETS)$(DESPITE)

test-wheel: $(READY_DEV) ## the wheel in a fresh environment, away from the checkout: it measures a trial of the smoke config there
	rm -rf build/wheel
	$(PY) -m hatchling build -t wheel -d build/wheel
	at=$$(mktemp -d) && trap 'rm -rf "$$at"' EXIT && $(PY) -m venv --without-pip "$$at/env" && \
	  $(PY) -m pip --python "$$at/env" install -qq --no-compile --disable-pip-version-check -c constraints.txt build/wheel/*.whl && \
	  cd "$$at" && unset PYTHONPATH && env/bin/bench run smoke --device '$(DEVICE)' --anyway --set channels=16 --set layout=contiguous --set seconds=0.3 --set processes_min=1 --set processes_max=1 && \
	  test -s results/latest/report.html

test-page: $(READY_DEV) ## the pages in a headless Chromium: console, network, sorting, themes, a phone's width
	$(PY) -m pytest tests/test_page_in_browser.py tests/test_compare_in_browser.py

bench-harness: $(READY_DEV) ## what the program itself takes at many rows: plan, journal, report, compare, start-up
	PYTHONPATH=. $(PY) -m pytest tools/harness/harness.py -s --benchmark-timer=tools.harness.clock.processor --benchmark-columns=min --benchmark-sort=name

mutants: $(READY_DEV) ## plant classic mistakes in a copy, one at a time, and check that a test fails
	$(PY) tests/mutants.py

check: $(READY_DEV) ## lint, format, types and the imports between rooms
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

gallery: $(READY) ## write docs/GALLERY.md and the pictures and pages of results/reference again (needs Chromium)
	$(PY) -m tools.gallery

clean: ## remove .venv, caches and build leftovers; never results
	rm -rf $(VENV) build dist *.egg-info .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find bench tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

.DEFAULT:
	$(error There is no target $@: see make help)

# ---------------------------------------------------------------- set-up

# Made by the first Python on the PATH that is new enough and has venv; a moved or half-made one is replaced.
$(VENV)/bin/python:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    new=$$python; \
	    if $$python -c 'import venv, ensurepip' 2>/dev/null; then \
	      echo "$$python -m venv $(VENV)"; exec $$python -m venv --clear $(VENV); \
	    fi; \
	  fi; \
	done; \
	if [ -n "$$new" ]; then \
	  echo "bench: $$new cannot make a virtual environment: install its venv package (Debian, Ubuntu: apt install python3-venv)." >&2; \
	else \
	  echo "bench: no Python 3.11 or newer on the PATH (python3 is: $$(python3 --version 2>&1 | head -n 1)): install one." >&2; \
	fi; exit 2

$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'installing into $(VENV), once (torch is large: some minutes)'
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'installing into $(VENV) with the tools of tests, once (torch is large: some minutes)'
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.ready $@

python-fits python-fits-dev python-fits-test:
	@$(PY) -c '' 2>/dev/null || { echo 'bench: PYTHON=$(PYTHON) does not start: name a Python 3.11 or newer.' >&2; exit 2; }
	@$(PY) tools/python_fits.py $(subst python-fits,,$(subst python-fits-,,$@))
