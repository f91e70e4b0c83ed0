# make demo: a simulated house, running.   make test: everything that can be proven on this machine.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# measured is what is installed: hemsd on the interpreter of Debian, which other builds may be half as fast as
SYSTEM ?= $(firstword $(wildcard /usr/bin/python3) $(PYTHON))
BENCH  := .cache/bench

.PHONY: help demo test lint docs bench soak vm interop rehearse wheel clean
help:
	@echo "make demo      a simulated meter, the daemon and an MQTT broker, in this terminal"
	@echo "make test      lint, types, import contracts and the whole test suite"
	@echo "make lint      ruff, mypy --strict and the import contracts only"
	@echo "make docs      docs/conformance.md, out of the table of requirements"
	@echo "make bench     measurements, beside momonga, pychonet and pyhems (a quarter of an hour)"
	@echo "make soak      property tests and storms with random seeds, for longer"
	@echo "make vm        the tests on an emulated machine, on one like a Raspberry Pi (root, a quarter of an hour)"
	@echo "make interop   what Home Assistant's own code makes of hemsd (root, some minutes)"
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

$(BENCH)/.made: pyproject.toml
	$(SYSTEM) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check -e '.[demo,metrics,test]'
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python pyhems==0.6.0 bidict  # runs on any Python that hemsd does
	touch $@

bench: $(BENCH)/.made
	tests/packages.sh
	$(BENCH)/bin/python -m tests.benchmarks

soak: $(BIN)/.test
	HEMSD_SOAK=1 $(BIN)/pytest -o faulthandler_timeout=0 tests/properties tests/storms

vm: $(BIN)/.test
	tests/packages.sh arm64
	HEMSD_GUEST=arm64 $(BIN)/pytest -o faulthandler_timeout=0 tests/guest

interop: $(BIN)/.test
	tests/packages.sh
	tests/interop/homeassistant/tree.sh $(CURDIR)/.cache/homeassistant/tree
	unshare --net sh -c "ip link set lo up && exec $(BIN)/pytest tests/interop/homeassistant/acceptance.py"

rehearse: $(BIN)/.test
	tests/rehearse.sh demo test

wheel: $(BIN)/.test
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) .cache dist build
