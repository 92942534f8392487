# Everything a developer does with this repository. `make help` lists it.
#
# All of it happens in an environment of its own, .venv, made on first use. Stamp files under .venv/stamps remember what
# is installed, so that a second call starts at once.

# Asked rather than looked for: a name that a version manager owns may lead nowhere.
where = $(shell $(1) -c 'import sys; print(sys.executable)' 2>/dev/null)
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(call where,$(name))))
VENV ?= .venv
TORCH ?= torch==2.13.0

BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
INSTALLED := $(STAMPS)/installed
LIBRARIES := $(STAMPS)/libraries
NODE_MODULES := $(STAMPS)/node_modules
LABEXTENSION := $(STAMPS)/labextension
LABEXTENSION_SOURCES := $(shell find labextension/src labextension/style labextension/schema -type f 2>/dev/null)
STUBS := proto/skytorch_wire
NATIVE := jupyter_skytorch.device skytorch_server.session

# The other torch that the native cores must compile for, with Python 3.12 where this machine has one.
COMPAT_TORCH ?= 2.11.0
COMPAT_PYTHON ?= $(or $(call where,python3.12),$(BIN)/python)

# Tests that look for what is left on the whole machine, or load it on purpose, have it to themselves.
ALONE := tests/faults tests/fuzz

SOAK_MINUTES ?= 60
FUZZ_RUNS ?= 1000000

# A machine with a GPU has its own Python and torch, and often no network: see docs/developers.md.
GPU_PYTHON ?= python3
GPU_WHEELS := build/gpu-wheels
GPU_VENV := .venv-gpu

export PATH := $(CURDIR)/$(BIN):$(PATH)
# The extension is built by the rule below, not by pip.
export HATCH_JUPYTER_BUILDER_SKIP_NPM := 1

.DEFAULT_GOAL := help
.PHONY: help demo lab native test test-together test-kube lint format conformance conformance-libraries bench faults soak fuzz \
	proto proto-check wheel compat gpu-wheels gpu clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml hatch_build.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS) jupyter_skytorch/labextension
	$(BIN)/pip install --disable-pip-version-check --quiet '$(TORCH)'
	$(BIN)/pip install --disable-pip-version-check --quiet --editable '.[test,lint]'
	touch $@

$(NODE_MODULES): labextension/package.json labextension/yarn.lock $(INSTALLED)
	cd labextension && jlpm install --immutable
	touch $@

# JupyterLab finds the bundle through a link, so that a rebuild is all it takes to see a change.
$(LABEXTENSION): $(LABEXTENSION_SOURCES) labextension/tsconfig.json $(NODE_MODULES)
	cd labextension && jlpm build:prod
	rm -rf $(VENV)/share/jupyter/labextensions/jupyter-skytorch
	mkdir -p $(VENV)/share/jupyter/labextensions
	ln -s $(CURDIR)/jupyter_skytorch/labextension $(VENV)/share/jupyter/labextensions/jupyter-skytorch
	touch $@

demo: $(INSTALLED)  ## train on sky and on the CPU in notebooks/quickstart.ipynb
	$(BIN)/python -m notebooks.execute quickstart --output build/demo

lab: $(LABEXTENSION)  ## open JupyterLab on the example notebooks
	$(BIN)/jupyter lab notebooks/quickstart.ipynb

native: $(INSTALLED)  ## compile the native cores for this torch, as the first import does; kept in the user's cache
	$(BIN)/python -m skytorch_wire.native compile $(NATIVE)

# Compiling takes longer than some tests may.
test: $(LABEXTENSION) native  ## all tests, those in a browser included (they need chromium)
	failed=0; \
	$(MAKE) --no-print-directory --jobs=2 test-together test-kube || failed=1; \
	$(BIN)/python -m pytest $(ALONE) || failed=1; \
	exit $$failed

test-together:
	$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile \
		$(foreach folder,$(ALONE) tests/kube,--ignore=$(folder))

# A cluster is waited for more than anything is computed, so these have no part in the processes of the others.
test-kube:
	$(BIN)/python -m pytest tests/kube

lint: $(NODE_MODULES)  ## ruff, mypy and eslint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd labextension && jlpm lint

format: $(NODE_MODULES)  ## mend what ruff and eslint can mend by themselves
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	cd labextension && jlpm lint --fix

$(LIBRARIES): $(INSTALLED)
	$(BIN)/pip install --disable-pip-version-check --quiet '$(TORCH)' --editable '.[libraries]'
	touch $@

conformance-libraries: $(LIBRARIES)  ## transformers, accelerate, lightning, einops, torchmetrics on sky, against the CPU
	$(BIN)/python -m pytest tests/conformance/libraries

conformance: conformance-libraries  ## that, and torch's modules and operators on sky; the table in docs/conformance.md
	SKYTORCH_ALL_SAMPLES=1 $(BIN)/python -m pytest tests/device/test_modules.py
	$(BIN)/python -m tests.conformance --output build/conformance

bench: $(INSTALLED)  ## speed and memory, each figure beside local torch; tables in build/bench
	$(BIN)/python -m bench --output build/bench

faults: $(INSTALLED)  ## cuts, stalls, kills, crowds and floods: the figures of docs/reliability.md; about half an hour
	$(BIN)/python -m tests.faults.cuts
	$(BIN)/python -m tests.faults.kills --kills 50
	$(BIN)/python -m tests.faults.kills --kills 20 --victim worker
	$(BIN)/python -m tests.faults.resumes
	$(BIN)/python -m tests.faults.interrupts
	$(BIN)/python -m tests.faults.pressure
	$(BIN)/python -m tests.faults.orphans
	$(BIN)/python -m tests.faults.crowd
	$(BIN)/python -m tests.faults.flood

soak: $(INSTALLED)  ## mixed work for SOAK_MINUTES, and whether memory stays flat; table in build/soak
	$(BIN)/python -m tests.faults.soak --minutes $(SOAK_MINUTES)

fuzz: $(INSTALLED)  ## FUZZ_RUNS bad inputs to everything that takes bytes from strangers; needs clang++ with libFuzzer
	$(BIN)/python -m tests.fuzz --runs $(FUZZ_RUNS)

proto: $(INSTALLED)  ## generate the stubs of the .proto files
	$(BIN)/python -m grpc_tools.protoc --proto_path=proto --python_out=proto --pyi_out=proto --grpc_python_out=proto \
		$(wildcard $(STUBS)/*.proto)

proto-check: $(INSTALLED)  ## fail when the committed stubs aren't what `make proto` generates
	rm -rf build/proto && mkdir -p build/proto
	$(BIN)/python -m grpc_tools.protoc --proto_path=proto --python_out=build/proto --pyi_out=build/proto \
		--grpc_python_out=build/proto $(wildcard $(STUBS)/*.proto)
	@for stub in build/$(STUBS)/*_pb2*; do \
		cmp "$$stub" "$(STUBS)/$$(basename $$stub)" || { echo "stale stub, run: make proto"; exit 1; }; \
	done

wheel: $(LABEXTENSION)  ## a wheel with the sidebar, and native cores for the torch installed here; in build/dist
	$(BIN)/python -m skytorch_wire.native prebuild $(NATIVE)
	$(BIN)/python -m hatchling build -t wheel -d build/dist

compat: $(INSTALLED)  ## compile the native cores for another torch, COMPAT_TORCH, too
	@set -e; version=$$($(COMPAT_PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	site=build/compat/torch-$(COMPAT_TORCH)-py$$version; \
	echo "Compiling for torch $(COMPAT_TORCH) with Python $$version ($(COMPAT_PYTHON))"; \
	test -d $$site || $(BIN)/pip install --disable-pip-version-check --quiet --no-deps --only-binary=:all: \
		--python-version $$version --target $$site torch==$(COMPAT_TORCH); \
	PYTHONPATH=$$site:$(CURDIR):$(CURDIR)/server:$(CURDIR)/proto XDG_CACHE_HOME=$(CURDIR)/build/compat/cache \
		$(COMPAT_PYTHON) -m skytorch_wire.native compile $(NATIVE)

gpu-wheels: $(INSTALLED)  ## fetch what `make gpu` needs on a machine without a network
	$(BIN)/pip download --disable-pip-version-check --quiet --only-binary=:all: --python-version 3.12 \
		--dest $(GPU_WHEELS) --requirement bench/gpu-requirements.txt

gpu:  ## checks and figures on a machine with a CUDA GPU, with its own torch and without Jupyter
	@$(GPU_PYTHON) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' \
		|| { echo "torch sees no CUDA device in $(GPU_PYTHON): make gpu GPU_PYTHON=/path/to/python"; exit 1; }
	test -x $(GPU_VENV)/bin/python || $(GPU_PYTHON) -m venv --system-site-packages $(GPU_VENV)
	$(GPU_VENV)/bin/python -m pip install --disable-pip-version-check --quiet \
		$(if $(wildcard $(GPU_WHEELS)),--no-index --find-links $(GPU_WHEELS)) --requirement bench/gpu-requirements.txt
	PYTHONPATH=$(CURDIR):$(CURDIR)/server:$(CURDIR)/proto $(GPU_VENV)/bin/python -m pytest tests/cuda
	PYTHONPATH=$(CURDIR):$(CURDIR)/server:$(CURDIR)/proto $(GPU_VENV)/bin/python -m bench --device cuda \
		--output build/bench ops networks compiled latency bulk memory

clean:  ## remove everything that make made
	rm -rf $(VENV) $(GPU_VENV) build dist jupyter_skytorch/labextension labextension/lib labextension/node_modules \
		labextension/tsconfig.tsbuildinfo
	find jupyter_skytorch server proto tests bench notebooks -name __pycache__ -prune -exec rm -rf {} +
	rm -rf jupyter_skytorch/device/prebuilt server/skytorch_server/session/prebuilt
