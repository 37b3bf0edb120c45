# bayespress: `make demo` does everything once, `make test` proves it. Both set up what they need first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := build/stamps
TYPED := build/typed
WORKERS ?= 2

C_SOURCES := $(wildcard codec/c/*.[ch] train/kernels/*.[ch]) codec/build_cffi.py train/kernels/build_cffi.py
C_STYLE := $(wildcard codec/c/*.[ch] train/kernels/*.[ch] deploy/runtime/*.[ch] tests/codec/c/*.[ch] docs/examples/*.c \
  android_demo/app/src/main/cpp/*.[ch])
# Of `make check`: what is quick and touches no compiler of foreign processors.
QUICK_TESTS := tests/codec tests/train tests/compress tests/cli tests/test_*.py
STAGES := codec train compress deploy workflow testing cli html_report
MODULES := _version api confusion errors extras files labels metric optional optuna_study outputs packed_format plugins record_version setting_types signatures text __main__

.PHONY: help setup demo check test docs intel-opencl android-tools android-pictures arm-python reproduce-mnist lint typecheck check-tests clean
.DEFAULT_GOAL := help

help:
	@echo "make setup      a virtual environment in .venv with everything, and the C core compiled"
	@echo "make demo       train, compress, build, bench and verify; BAYESPRESS_DATA=folder takes MNIST from there"
	@echo "make check      lint, types and the quick tests, in three minutes"
	@echo "make test       lint, types and all tests"
	@echo "make docs       the site, in build/site"
	@echo "make reproduce-mnist   the rows of the MNIST tables, trained and compressed; hours, resumable"
	@echo "make clean      remove what was built (not .venv, not out)"

# One stamp for the environment, one for the extension, so that the second call does nothing.
$(STAMPS)/environment: pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable ".[all,dev,docs]"
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/extension: $(STAMPS)/environment $(C_SOURCES)
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

setup: $(STAMPS)/extension

demo: setup
	$(BIN)/bayespress demo $(if $(BAYESPRESS_DATA),--data mnist) --android android_demo

# What a change should pass before it is committed; `make test` is what it has to pass before it is pushed.
check: lint typecheck
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m "not slow" $(QUICK_TESTS) $(PYTEST_ARGS)

test: lint typecheck check-tests

# mkdocstrings reads the package from the folder that gives the root its name, as mypy does.
docs: setup
	@mkdir -p $(TYPED) && ln -sfn ../.. $(TYPED)/bayespress
	$(BIN)/mkdocs build --strict

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(C_STYLE)

# The repository root is the package, whatever the folder is called: mypy needs to see it under its own name.
typecheck: setup
	@mkdir -p $(TYPED) && ln -sfn ../.. $(TYPED)/bayespress
	cd $(TYPED) && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml \
	  -m bayespress $(STAGES:%=-p bayespress.%) $(MODULES:%=-m bayespress.%) -m bayespress.tests.typed_interface

check-tests: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

# What only some tests want, and skip without.
# Intel's OpenCL driver runs kernels on the processor as PoCL does, and has half precision. 800 MB.
intel-opencl: $(STAMPS)/intel-opencl

$(STAMPS)/intel-opencl:
	$(PYTHON) -m venv build/intel-opencl
	build/intel-opencl/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0 tbb==2023.2.0 tcmlib==1.6.0
	@mkdir -p $(STAMPS) && touch $@

# A Kotlin compiler (in the jars of a package from PyPI), and what Android's API is (from npm), to check android_demo by.
KOTLIN := build/kotlin
android-tools: setup
	test -e $(KOTLIN)/ready || { $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --target $(KOTLIN) kotlin-jupyter-kernel==0.19.0.944 && touch $(KOTLIN)/ready; }
	test -e build/android-types/package || { mkdir -p build/android-types && cd build/android-types && \
	  npm pack --silent @nativescript/types-android@9.1.1 && tar xzf *.tgz; }

# The pictures in android_demo/README.md, of the bundle BUNDLE (with a target for this machine).
android-pictures: android-tools
	BAYESPRESS_PICTURES=$(abspath $(BUNDLE)) $(BIN)/python -m pytest -q tests/android/test_pictures.py

# A Python for 64-bit ARM with TVM's RPC server, for qemu. 400 MB; needs Debian's apt.
arm-python: setup
	PYTHON=$(BIN)/python bash tests/support/arm_python.sh build/arm-python constraints.txt

# Hours, in the background; what is finished is not done again. Rows by name: ONLY=lenet-300
reproduce-mnist: setup
	$(BIN)/python benchmarks/reproduce_mnist.py --only "$(ONLY)"

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info codec/_bpz.c codec/*.so train/kernels/_kl.c train/kernels/*.so
