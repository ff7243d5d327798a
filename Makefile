# The commands of the README. Everything lives in .venv; a second run of a target does no work twice.

PYTHON ?= python3
BIN := .venv/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
RUN := .venv/.installed
DEV := .venv/.installed-dev

.PHONY: run test chromium promtool check chaos figures bench docs format lint types imports clean

run: $(RUN)
	@exec $(BIN)/transqueue up

$(BIN)/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

$(RUN): $(BIN)/python pyproject.toml $(PLUGINS)
	$(BIN)/python -m pip install --quiet --editable '.[embedded]' $(patsubst %/pyproject.toml,--editable ./%,$(PLUGINS))
	@touch $@

$(DEV): $(RUN)
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

# The simulation goes first: it takes all processors by itself. Then one file more at once than there are processors, for
# many tests wait for processes. JOBS=1 for one after the other.
JOBS ?= $(shell expr 1 + $$(nproc 2>/dev/null || echo 2))
SIMULATION := tests/simulation/test_simulation.py
test: $(DEV) chromium promtool
	$(BIN)/python -m pytest $(SIMULATION)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --ignore $(SIMULATION)

# The window is tried in a real browser. Without it, and without root, those tests fail and say so.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null; } \
	  || echo "no Chromium: tests/acceptance/window will fail; apt-get install chromium"

# Judges alerts and /metrics. Only that program is taken out of Debian's package: no Prometheus is installed or started.
promtool: $(BIN)/python
	@command -v promtool >/dev/null || test -x $(BIN)/promtool || { into=$$(mktemp -d) && bin=$$(cd $(BIN) && pwd) && cd $$into \
	  && { [ "$$(id -u)" != 0 ] || apt-get update -qq; } && apt-get download -qq prometheus >/dev/null 2>&1 \
	  && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && mv usr/bin/promtool $$bin/ && rm -r $$into; } \
	  || echo "no promtool: tests/unit/test_operations_files.py will fail; apt-get install prometheus"

check: format lint types imports test

# Kills and stops processes for a minute and checks every cent: docs/chaos.md.
chaos: $(DEV)
	@$(BIN)/python tests/chaos --seconds $(or $(SECONDS),60) --nodes $(or $(NODES),1) $(if $(SEED),--seed $(SEED))

# Measures this machine beside what MongoDB can do, and writes the tables of docs/performance.md; a quarter of an hour.
# PART="queue http" runs only those, ROUNDS=3 each so often, QUICK=1 tiny sizes (and writes nothing).
bench: $(DEV)
	@$(BIN)/python -m benchmarks $(foreach part,$(PART),--part $(part)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick,--write)

# The documentation, into dist/docs; a warning is an error.
docs: $(DEV)
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs dist/docs
	@echo "open dist/docs/index.html"

# How long recovery takes on this machine: docs/guarantees.md.
figures: $(DEV)
	@$(BIN)/python tests/figures --times $(or $(TIMES),5) $(NAMES)

format: $(DEV)
	$(BIN)/ruff format --check .

lint: $(DEV)
	$(BIN)/ruff check .

types: $(DEV)
	$(BIN)/mypy

imports: $(DEV)
	$(BIN)/lint-imports

clean:
	rm -rf .venv .transqueue dist
