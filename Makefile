# Two commands for a fresh machine: `make study` runs the main job, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CPU_ONLY := OMP_NUM_THREADS=1

.PHONY: study test nightly lint types docs bench wheel packaged changelog clean

study: $(STAMP)
	$(BIN)/rapidash study nbody

test: $(STAMP)
	$(CPU_ONLY) $(BIN)/pytest -q -n 2 --dist loadgroup --durations=40 --durations-min=5

nightly: $(STAMP) docs
	$(CPU_ONLY) $(BIN)/pytest -q -n 2 --dist loadgroup -m "not gpu"
	$(CPU_ONLY) RAPIDASH_CHECK_SHAPES=1 $(BIN)/pytest -q -n 2 --dist loadgroup --durations=40 --durations-min=5

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

wheel: $(STAMP)
	$(BIN)/python tools/release.py --out dist

changelog: $(STAMP)
	$(BIN)/python tools/changelog.py

packaged: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "qm9pack==1.0.3"
	$(CPU_ONLY) $(BIN)/python tools/train_packaged.py dipole --run-dir runs/packaged
	$(CPU_ONLY) $(BIN)/python tools/train_packaged.py nbody --run-dir runs/packaged

bench: $(STAMP)
	$(BIN)/rapidash bench

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fast,study]" --group dev
	touch $(STAMP)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build docs/auto_examples
