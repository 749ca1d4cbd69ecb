# Every chore has one command. `make quickstart` and `make test` need nothing but Python and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
C_BUILD := build/c
FIND_ONNXRUNTIME := import onnxruntime, pathlib; print(next(pathlib.Path(onnxruntime.__file__).parent.glob('capi/libonnxruntime.so*')))

.PHONY: quickstart test test-long c c-needs check format clean

# Render a small data set, train, evaluate, export, index and search; results under quickstart/.
quickstart: $(VENV)/installed-export
	$(BIN)/cfack quickstart --out quickstart

# The whole suite but its long forms.
test: $(VENV)/installed-dev
	$(BIN)/pytest -m "not slow and not gpu and not tensorrt and not c"

# The long forms too.
test-long: $(VENV)/installed-dev
	$(BIN)/pytest -m "not gpu and not tensorrt and not c"

# libcfack, the runtime for programs without Python, and its tests. Needs CMake, a C++ compiler and pkg-config, and
# clang with libclang-rt-14-dev for its fuzzers; libraries that are missing are unpacked below build/, from Debian's
# packages.
c: $(VENV)/installed-dev c-needs
	cmake -S runtime/c -B $(C_BUILD) -DCMAKE_PREFIX_PATH="$(abspath $(C_BUILD))/debian/usr" \
	  -DONNXRuntime_ROOT="$(abspath $(C_BUILD))/onnxruntime"
	cmake --build $(C_BUILD) --parallel 2
	CFACK_ONNXRUNTIME="$$($(BIN)/python -c "$(FIND_ONNXRUNTIME)")" ctest --test-dir $(C_BUILD) --output-on-failure
	CFACK_C_BUILD="$(abspath $(C_BUILD))" $(BIN)/pytest -m "c and not slow and not gpu" -rs tests/c

# What `make c` fetches.
c-needs:
	sh runtime/c/tools/fetch_libraries.sh $(C_BUILD)/debian
	sh runtime/c/tools/fetch_onnxruntime_headers.sh $(C_BUILD)/onnxruntime

# Lint, types and import rules.
check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build quickstart .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1); CFACK needs Python 3.10 to 3.13." \
	       "Name one: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# torch and torchvision come together from the package index; the first installation takes a few minutes.
$(VENV)/installed-%: pyproject.toml | $(VENV)/bin/pip
	@echo "Installing CFACK and what it needs into $(VENV) ..."
	$(BIN)/pip install --quiet --editable ".[$*]"
	@touch $@
