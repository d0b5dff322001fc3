# Every target does its own set-up, in target/ and .venv/. PYTHON chooses the interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := Cargo.toml Cargo.lock pyproject.toml \
	$(shell find crates python -name '*.rs' -o -name '*.toml' -o -name '*.py' -o -name '*.pyi')

.PHONY: demo test lint bench clean

# Runs the example of the README and shows the file that it leaves behind.
demo: $(VENV)/built
	cd $(VENV) && rm -f state.json && bin/python ../examples/quickstart.py
	cat $(VENV)/state.json

# Rust tests, the examples of the documentation, Python tests.
test: $(VENV)/built
	cargo test --workspace
	$(BIN)/python -m pytest

lint: $(VENV)/built
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest aiokv._aiokv

# Prints a table; fails nothing. Needs a quiet machine.
bench: $(VENV)/built
	cargo build --release --examples
	$(BIN)/python bench/run.py

clean:
	cargo clean
	rm -rf $(VENV)

$(VENV)/tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(VENV)/built: $(VENV)/tools $(SOURCES)
	$(BIN)/python -m pip install --quiet .
	touch $@
