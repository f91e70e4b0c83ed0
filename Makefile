# make demo: a simulated house, running.   make test: everything that can be proven on this machine.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help demo test lint docs bench soak vm rehearse wheel clean
help:
	@echo "make demo      a simulated meter, the daemon and an MQTT broker, in this terminal"
	@echo "make test      lint, types, import contracts and the whole test suite"
	@echo "make lint      ruff, mypy --strict and the import contracts only"
	@echo "make docs      docs/conformance.md, out of the table of requirements"
	@echo "make bench     measurements, beside momonga, pychonet and pyhems (a quarter of an hour)"
	@echo "make soak      property tests and storms with random seeds, for longer"
	@echo "make vm        the tests on an emulated machine, on one like a Raspberry Pi (root, a quarter of an hour)"
	@echo "make rehearse  'make test' and 'make demo' on pristine Debian 12 and 13 trees (root)"

$(BIN)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

$(BIN)/.test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[demo,metrics,test]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps uecho==1.0.3  # without netifaces, which needs a compiler; see tests/interop/peers/standin
	touch $@ $(BIN)/.demo

demo: $(BIN)/.demo
	$(BIN)/hemsd demo

lint: $(BIN)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(BIN)/.test
	$(BIN)/python -m tests.conformance

test: lint
	tests/packages.sh
	$(BIN)/pytest

bench: $(BIN)/.test
	tests/packages.sh
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python pyhems==0.6.0 bidict  # runs on any Python that hemsd does
	$(BIN)/python -m tests.benchmarks

soak: $(BIN)/.test
	HEMSD_SOAK=1 $(BIN)/pytest -o faulthandler_timeout=0 tests/properties tests/storms

vm: $(BIN)/.test
	tests/packages.sh arm64
	HEMSD_GUEST=arm64 $(BIN)/pytest -o faulthandler_timeout=0 tests/guest

rehearse: $(BIN)/.test
	tests/rehearse.sh demo test

wheel: $(BIN)/.test
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) .cache dist build
