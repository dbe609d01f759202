# Two commands do everything: `make demo` and `make test`.  Both set up their own virtual
# environment; they need Python 3.11 or newer with `venv`, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check format bench fuzz campaign traces branches mutation clean

demo: $(VENV)/.runtime
	$(BIN)/replication demo $(if $(DATA),--data $(DATA))

test: $(VENV)/.test check .yjs/node_modules
	RUST_BACKTRACE=0 $(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python -m bench $(BENCH)

fuzz: $(VENV)/.fuzz
	$(BIN)/python -m fuzz $(FUZZ)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[server]"
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[server,test]"
	touch $@ $(VENV)/.runtime

$(VENV)/.fuzz: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[fuzz]"
	touch $@

# The long proofs; each appends what it did to a ledger in tests/.
campaign: $(VENV)/.test
	$(BIN)/python tests/campaign.py $(CAMPAIGN)

# Two real editing histories, whole; they are not part of this repository: see tests/traces.py.
traces: $(VENV)/.test
	$(BIN)/python tests/traces.py $(TRACES)

# A Yjs editor for tests; without npm or a network they say what they need and are skipped.
.yjs/node_modules:
	mkdir -p .yjs
	-command -v npm >/dev/null || (apt-get -qq update && apt-get -qq install -y nodejs npm) >/dev/null 2>&1
	-npm install --silent --no-audit --no-fund --prefix .yjs yjs@13

# Every branch of the merge and of the history is taken by table tests alone.
branches: $(VENV)/.test
	$(BIN)/python tests/branches.py

# Small mistakes put into the merge, one at a time: tests have to notice.
mutation: $(VENV)/.test
	$(BIN)/python tests/mutation.py $(MUTATION)

clean:
	rm -rf $(VENV) .yjs build *.egg-info
