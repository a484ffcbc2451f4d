# The commands of a checkout; `make help` lists them. Each sets up what it needs, once (setup_cmake/setup.sh).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build test demo bench docs gpu-check-build format lint sanitize test-torch-latest test-old-cpu wheel install

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 30
# CUDA kernels: AUTO builds them where there is an nvcc; ON, OFF.
TORCHAO_OPS_CUDA ?= AUTO

PY := .venv/bin/python
SETUP := setup_cmake/setup.sh
PYTHON_DIRS := python tests bench demo docs/generate_operators.py
RUFF := .venv/bin/ruff
# What git tracks and what is about to be added.
CXX_FILES = $(shell git ls-files --cached --others --exclude-standard 'csrc/*.cpp' 'csrc/*.h' 'csrc/*.cu' 'csrc/*.cuh' \
  'tests/*.cpp' 'tests/*.h' 'bench/*.cpp')
# csrc/cuda is compiled only where there is a CUDA toolkit.
TIDY_FILES = $(shell git ls-files --cached --others --exclude-standard 'csrc/*.cpp' ':!csrc/*_avx*.cpp' ':!csrc/cuda/*')

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /make \1\t/' | expand -t 25

setup: ## Debian packages that are missing (as root) and .venv
	@$(SETUP) system build
	@$(SETUP) venv $(CURDIR)/.venv $(CURDIR)/requirements-dev.txt $(CURDIR)/requirements-no-deps.txt

# A CMakeLists.txt that changed makes Ninja configure again by itself; a preset or another TORCHAO_OPS_CUDA does not: the stamp's name has it.
CONFIGURED := build/.configured-cuda-$(TORCHAO_OPS_CUDA)
$(CONFIGURED): CMakePresets.json | setup
	cmake --preset release -DTORCHAO_OPS_CUDA=$(TORCHAO_OPS_CUDA)
	@rm -f build/.configured*
	@touch $@

build: $(CONFIGURED) ## build/libtorchao_ops.so, optimized
	@cmake --build build --parallel $(JOBS) --target torchao_ops

test: $(CONFIGURED) ## all tests that this machine can run, C++ and Python, and what was skipped
	@cmake --build build --parallel $(JOBS)
	@$(PY) tests/run.py --jobs $(JOBS)

# The consumer is a C++ program that uses the installed library.
demo: build ## quantize a real model, compare size, speed and answers, run it from C++
	@cmake --install build --prefix build/prefix --component cpp >/dev/null
	@cmake -S tests/cpp/consumer -B build/consumer -G Ninja -DCMAKE_PREFIX_PATH=$(CURDIR)/build/prefix \
	  -DTORCHAO_OPS_TORCH_DIR=$$($(PY) -c 'import torch; print(torch.__path__[0])') >/dev/null
	@cmake --build build/consumer
	@$(PY) demo/minilm.py --consumer build/consumer/consumer

bench: build ## against other libraries and this machine's limits: table, JSON and plot
	@$(SETUP) venv $(CURDIR)/.venv $(CURDIR)/bench/requirements.txt
	@$(PY) bench/bench.py $(ARGS)

docs: build ## docs/operators.md, from the operators' schemas and docstrings
	@PYTHONPATH=python $(PY) docs/generate_operators.py

gpu-check-build: setup ## build/gpu_check: what bench/gpu_check takes to a machine with a GPU and little else
	@PYTHONPATH=bench $(PY) -m gpu.build build/gpu_check

format: setup ## rewrite the sources in the project's style
	@$(SETUP) system lint
	@clang-format-14 -i $(CXX_FILES)
	@$(RUFF) format --config ruff.toml $(PYTHON_DIRS)

lint: $(CONFIGURED) ## check the style, and clang-tidy and ruff
	@$(SETUP) system lint
	@clang-format-14 --dry-run --Werror $(CXX_FILES)
	@$(RUFF) format --config ruff.toml --check --quiet $(PYTHON_DIRS)
	@$(RUFF) check --config ruff.toml $(PYTHON_DIRS)
	@printf '%s\n' $(TIDY_FILES) | xargs -P $(JOBS) -n 2 clang-tidy-14 -p build --quiet

sanitize: $(CONFIGURED) ## the kernel tests under ASAN, UBSAN and TSAN, and FUZZ_SECONDS (30) of each fuzzer
	@$(SETUP) system sanitize
	cmake --preset asan
	cmake --build --preset asan --parallel $(JOBS)
	ctest --preset asan
	cmake --preset tsan
	cmake --build --preset tsan --parallel $(JOBS)
	ctest --preset tsan
	cmake -DFUZZ_SECONDS=$(FUZZ_SECONDS) build >/dev/null
	cmake --build build --target fuzz

test-torch-latest: build ## the Python tests, with the same library file, under the newest torch
	@sed 's/^torch==.*/torch/' requirements-dev.txt > build/requirements-torch-latest.txt
	@$(SETUP) venv $(CURDIR)/.venv-latest $(CURDIR)/build/requirements-torch-latest.txt $(CURDIR)/requirements-no-deps.txt
	.venv-latest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade torch
	.venv-latest/bin/python -m pytest tests/py

# core2duo has no AVX at all, Haswell AVX2 and FMA. A few of the cases: emulation is slow.
test-old-cpu: $(CONFIGURED) ## the tests on emulated CPUs of 2006 and 2013 (QEMU)
	@$(SETUP) system old-cpu
	@cmake --build build --parallel $(JOBS)
	@for cpu in core2duo Haswell; do \
	  for test in test_float_types test_{int4,int8,nf4}_{quantize,dequantize,mm} test_sparse24_{prune,compress,decompress,mm}; do \
	    echo "-- $$test on $$cpu"; \
	    TORCHAO_OPS_TEST_PERCENT=5 qemu-x86_64 -cpu $$cpu build/tests/cpp/$$test --gtest_brief=1 2>&1 | grep -v "TCG doesn't support"; \
	  done; \
	done
	@qemu-x86_64 -cpu Haswell $(PY) -m pytest -o timeout=0 tests/py/test_{int4,int8,nf4,sparse24}_values.py -k 'example or reference'

wheel: setup ## dist/torchao_ops-*.whl, for any Python and any torch from 2.10 on
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist \
	  --config-settings=cmake.define.TORCHAO_OPS_CUDA=$(TORCHAO_OPS_CUDA) ./python
	@ls dist/*.whl

install: build ## the library, torchao_ops.h and the CMake package, under PREFIX (/usr/local)
	cmake --install build --prefix $(PREFIX)
