# The narrow road: `make demo`, `make test`, `make bench`. Each sets up .venv by itself.
PYTHON ?= python3
comma := ,
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
BUILD_TOOLS := torch numpy pybind11 cmake ninja setuptools wheel
SOURCES := $(shell find csrc -type f) CMakeLists.txt setup.py pyproject.toml
FORMATTED := $(shell find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu')

.PHONY: help setup demo test prove fuzz lint stubs notebook bench sanitize site clean

setup: $(VENV)/.built

$(VENV)/.installed: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt $(BUILD_TOOLS)
	touch $@

# Editable: Python files take effect at once; ninja recompiles only what changed in csrc.
$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install -q -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/pymdm demo

test: setup lint
	$(BIN)/python -m pytest -n logical --dist loadfile $(PYTEST_ARGS)

# AUDIT_ARGS=--reseed draws new seeds.
prove: setup
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)
	PYTHONPATH=tests $(BIN)/pymdm audit --full --faults helpers.planted --report out/proof $(AUDIT_ARGS)

# Damaged input of every kind, PYMDM_FUZZ cases each (default 100,000); `make test` runs 2,000. Under the sanitizers:
# make sanitize SANITIZED_TESTS=tests/fuzz PYTEST_ARGS="-m ''".
fuzz: setup
	$(BIN)/python -m pytest -m '' tests/fuzz $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo clang-format --dry-run --Werror, $(words $(FORMATTED)) files
	@$(BIN)/clang-format --dry-run --Werror $(FORMATTED)
	$(BIN)/mypy

# pymdm/_C.pyi from the built extension, by which mypy and editors see the core; a test holds the two together.
stubs: setup
	PYTHONPATH=tests $(BIN)/python -m helpers.stubs

# The outputs that examples/first_hour.ipynb shows; a test runs its cells and compares.
notebook: setup
	PYTHONPATH=tests $(BIN)/python -m helpers.notebook

bench: setup
	$(BIN)/pymdm bench

# A second build with sanitizers, beside the usual one, under the tests of the compiled core. SANITIZE=thread is the other kind.
SANITIZE ?= address,undefined
SANITIZED := out/sanitize-$(subst $(comma),-,$(SANITIZE))
SANITIZED_TESTS ?= tests/ops $(wildcard tests/network/test_engine*.py) tests/network/test_cache.py tests/sampling
RUNTIME := $(if $(findstring thread,$(SANITIZE)),libtsan.so,libasan.so)

sanitize: setup
	rm -rf $(SANITIZED)
	PATH="$(CURDIR)/$(BIN):$$PATH" PYMDM_TESTING=1 PYMDM_SANITIZE=$(SANITIZE) $(PIP) install -q --no-deps --no-build-isolation --target $(SANITIZED) .
	LD_PRELOAD="$$($(CXX) -print-file-name=$(RUNTIME)) $$($(CXX) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	TSAN_OPTIONS=halt_on_error=1:ignore_noninstrumented_modules=1 \
	PYTHONPATH=$(SANITIZED) $(BIN)/pytest -s $(SANITIZED_TESTS) $(PYTEST_ARGS)

$(VENV)/.docs: $(VENV)/.built
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install -q -c constraints.txt --no-build-isolation -e '.[docs]'
	touch $@

# The pages of docs/ and of the docstrings as out/site; a broken link fails.
site: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf build $(VENV) pymdm/_C*.so *.egg-info

help:
	@echo 'make setup     .venv with the locked packages, and the package built in place'
	@echo 'make demo      train and sample in front of you'
	@echo 'make test      build, lint and test'
	@echo 'make prove     the whole proof with all planted faults (long)'
	@echo 'make fuzz      hostile calls, damaged states and files, 100,000 each (long)'
	@echo 'make bench     measurements, as ratios in one run'
	@echo 'make lint      ruff, clang-format, mypy'
	@echo 'make stubs     the types of the core, pymdm/_C.pyi, anew after a change of csrc/binding'
	@echo 'make notebook  the outputs of examples/first_hour.ipynb anew, after a change of what it shows'
	@echo 'make sanitize  the tests of the core under sanitizers (long)'
	@echo 'make site      the documentation as out/site'
	@echo 'make clean     remove .venv and what was built'
