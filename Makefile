# A fresh machine with Python >= 3.11 and make needs nothing else.
PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
# Processes that the tests use at once; many of them wait for time limits of programs under test.
JOBS   ?= 3

BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: train test test-slow report docs clean

train: $(VENV)/.installed
	$(BIN)/proofloop train

# The report of the newest run again, for example with a newer version.
report: $(VENV)/.installed
	$(BIN)/proofloop report "$$(ls -td runs/*/ | head -n 1)"

test: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m "not slow"

test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -q -m slow

# The reference pages that are generated from the code.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m proofloop.cli.reference docs/reference

clean:
	rm -rf $(VENV)

# torch goes first and alone: by far the largest download, and the one to choose by hand, as in
# make TORCH="torch==2.13.0 --index-url …".
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Proofloop needs Python 3.11 or newer; choose one with make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q $(TORCH)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install -q -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install -q -e ".[dev]"
	@touch $@
