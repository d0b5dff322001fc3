# Every target does its own set-up, in target/ and .venv/. PYTHON chooses the interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := target/demo
DIST := target/dist
PEERS := target/peers
FRAMEWORKS := target/frameworks
DOCS := target/docs
SOURCES := Cargo.toml Cargo.lock pyproject.toml \
	$(shell find crates python -name '*.rs' -o -name '*.toml' -o -name '*.py' -o -name '*.pyi')

.PHONY: demo dist test test-frameworks test-key-value torture fuzz lint bench bench-day bench-peers docs clean

# Makes an environment in a folder, with a group of dependencies.
define environment
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(1)/bin/python -m pip install --quiet --group $(2)
endef

# Runs the example of the README and shows the file that it leaves behind.
demo: $(DEMO)/built
	cd $(DEMO) && rm -f state.json && venv/bin/python $(CURDIR)/examples/quickstart.py
	cat $(DEMO)/state.json

# Builds a wheel and the source distribution in target/dist, installs each in an environment of its
# own, and runs the Python tests against what was installed. The wheel for Linux runs on every
# system with glibc 2.17 or later.
WHEEL_FOR_Linux := --zig --compatibility manylinux2014
dist: pyproject.toml
	rm -rf $(DIST)
	$(call environment,$(DIST)/tools,dist)
	PATH="$(CURDIR)/$(DIST)/tools/bin:$$PATH" $(DIST)/tools/bin/maturin build --release --locked \
		--out $(DIST) $(WHEEL_FOR_$(shell uname))
	$(DIST)/tools/bin/maturin sdist --out $(DIST)
	$(DIST)/tools/bin/twine check --strict $(DIST)/aiokv-*
	for package in $(DIST)/aiokv-*.whl $(DIST)/aiokv-*.tar.gz; do \
		rm -rf $(DIST)/venv && $(PYTHON) -m venv $(DIST)/venv && \
		$(DIST)/venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1' && \
		$(DIST)/venv/bin/python -m pip install --quiet --group test && \
		$(DIST)/venv/bin/python -m pip install --quiet --no-deps $$package && \
		$(DIST)/venv/bin/python -m pytest --quiet || exit 1; \
	done

# Rust tests and the examples of the documentation, the queue under many schedules, a short run of
# the fuzz targets, Python tests.
test: $(VENV)/built
	cargo test --workspace
	RUSTFLAGS='--cfg shuttle' cargo test -p aiokv --lib --target-dir target/shuttle queue
	RUSTFLAGS='--cfg fuzzing' cargo test --release --manifest-path fuzz/Cargo.toml --target-dir target/fuzz
	$(BIN)/python -m pytest

# The adapters for frameworks: their types, their own tests, then the tests of each framework, from its
# source distribution, with the adapter in the place of the framework's own storage. Then the example
# for teloxide.
FRAMEWORKS_PYTHON = $(CURDIR)/$(FRAMEWORKS)/venv/bin/python
FRAMEWORK_SUITE = PYTHONPATH=$(CURDIR)/tests/frameworks $(FRAMEWORKS_PYTHON) -m pytest --quiet
test-frameworks: $(FRAMEWORKS)/built $(FRAMEWORKS)/sources
	$(FRAMEWORKS_PYTHON) -m mypy python/aiokv/ext/*.py tests/frameworks \
		tests/python/helpers.py examples/*_bot.py
	$(FRAMEWORKS_PYTHON) -m pytest tests/frameworks
	# The test that is left out looks into MemoryStorage.
	cd $(FRAMEWORKS)/sources/aiogram-*/ && $(FRAMEWORK_SUITE) -p aiogram_suite tests/test_fsm \
		--override-ini asyncio_default_fixture_loop_scope=function \
		--deselect tests/test_fsm/test_context.py::TestFSMContext::test_address_mapping
	cd $(FRAMEWORKS)/sources/python_telegram_bot-*/ && $(FRAMEWORK_SUITE) -p telegram_suite \
		tests/ext/test_basepersistence.py
	cargo test --locked --manifest-path examples/teloxide/Cargo.toml --target-dir target/teloxide

# py-key-value's tests of a store, which are in its repository only: CHECKOUT is a copy of that.
test-key-value: $(FRAMEWORKS)/built
	cd $(CHECKOUT) && $(FRAMEWORK_SUITE) --config-file $(CURDIR)/pyproject.toml --import-mode=prepend \
		--override-ini filterwarnings=default $(CURDIR)/tests/frameworks/key_value_suite.py

# The simulation of several processes, then the crash tests, with new programs, each for as long as
# told. AIOKV_SEED chooses the first program; a failure prints the one that failed.
SECONDS ?= 600
torture:
	AIOKV_TORTURE_SECONDS=$(SECONDS) cargo test -p aiokv --test it processes_share -- --nocapture
	AIOKV_TORTURE_SECONDS=$(SECONDS) cargo test -p aiokv --test it nothing_acknowledged -- --nocapture

# Coverage-guided fuzzing of one TARGET: decoder, journal or operations. Needs cargo-fuzz and a nightly Rust.
TARGET ?= decoder
fuzz:
	cargo +nightly fuzz run $(TARGET) --features libfuzzer -- -max_total_time=$(SECONDS) -detect_leaks=0

lint: $(VENV)/built
	cargo fmt --all --check
	cargo fmt --manifest-path bench/peers-rust/Cargo.toml --check
	cargo fmt --manifest-path examples/teloxide/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m mypy.stubtest aiokv._aiokv
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

# Prints a page; fails nothing. Takes ten minutes and needs Linux, rustc and a quiet machine.
# QUICK=--quick makes this and bench-peers a short run, which shows only that everything works.
QUICK ?=
bench: $(VENV)/built
	$(BIN)/python -m bench $(QUICK)

# Prints a table for docs/performance.md: how much is written to disk in a day. Needs Linux.
bench-day: $(VENV)/built
	$(BIN)/python -m bench.day

# Measures aiokv beside other stores, which it installs in an environment of their own, and writes
# docs/peers.md and docs/peers.svg, or PAGES/peers.md. Takes 25 minutes, and more to compile for the
# first time; needs a quiet machine, Linux and Python 3.11 or later.
PAGES ?= docs
bench-peers: $(PEERS)/built
	rm -rf $(PEERS)/criterion
	CRITERION_HOME=$(CURDIR)/$(PEERS)/criterion cargo bench --locked \
		--manifest-path bench/peers-rust/Cargo.toml --target-dir target/peers-rust \
		$(if $(QUICK),-- '/100/')
	$(PEERS)/venv/bin/python -m bench --peers --directory $(PEERS) --output $(PAGES) $(QUICK)

# The documentation site, in target/site: pages, the Python interface, the Rust interface. Fails at a link that leads
# nowhere, an anchor included, and at a page that would load something from the network. Needs Python 3.11 or later.
docs: $(DOCS)/tools
	RUSTDOCFLAGS='-D rustdoc::broken_intra_doc_links' cargo doc --no-deps --package aiokv --lib --target-dir target/rustdoc
	NO_MKDOCS_2_WARNING=1 $(DOCS)/venv/bin/mkdocs build --strict --config-file site/mkdocs.yml
	# rustdoc links to an index of crates, which one crate does not have, and its script makes the anchors of lines.
	$(DOCS)/venv/bin/lychee --offline --include-fragments --no-progress --root-dir target/site \
		--exclude-path 'rust/(help|settings)\.html' --exclude '\.rs\.html#[0-9-]+$$' \
		'target/site/**/*.html'
	! grep -rE --include='*.html' '<(script|link|img|iframe)[^>]+(src|href)="(https?:)?//' target/site

clean:
	cargo clean
	rm -rf $(VENV)

$(VENV)/tools: pyproject.toml
	$(call environment,$(VENV),dev)
	touch $@

$(VENV)/built: $(VENV)/tools $(SOURCES)
	$(BIN)/python -m pip install --quiet .
	touch $@

# Nothing but what the demo needs, and not optimized: it is compiled in half the time.
$(DEMO)/built: $(SOURCES)
	$(PYTHON) -m venv $(DEMO)/venv
	MATURIN_PEP517_ARGS='--profile dev' $(DEMO)/venv/bin/python -m pip install --quiet .
	touch $@

$(PEERS)/tools: pyproject.toml
	$(call environment,$(PEERS)/venv,peers)
	touch $@

$(DOCS)/tools: pyproject.toml
	$(call environment,$(DOCS)/venv,docs)
	touch $@

$(PEERS)/built: $(PEERS)/tools $(SOURCES)
	$(PEERS)/venv/bin/python -m pip install --quiet .
	touch $@

$(FRAMEWORKS)/tools: pyproject.toml
	$(call environment,$(FRAMEWORKS)/venv,frameworks)
	touch $@

$(FRAMEWORKS)/built: $(FRAMEWORKS)/tools $(SOURCES)
	$(FRAMEWORKS)/venv/bin/python -m pip install --quiet .
	touch $@

$(FRAMEWORKS)/sources: $(FRAMEWORKS)/tools tests/frameworks/sources.txt
	rm -rf $@ $@.new
	$(FRAMEWORKS)/venv/bin/python -m pip download --quiet --no-deps --require-hashes \
		--requirement tests/frameworks/sources.txt --dest $@.new
	for archive in $@.new/*.tar.gz; do tar --extract --file $$archive --directory $@.new; done
	mv $@.new $@
