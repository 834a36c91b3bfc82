# From a fresh clone with nothing installed: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint style types docs release-check evidence

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/limen demo

lint: style types

style: .venv/installed
	$(BIN)/ruff check src tests benchmarks docs tools
	$(BIN)/ruff format --check src tests benchmarks docs tools

types: .venv/installed
	$(BIN)/mypy

# mypy computes on one core, so it runs beside the tests; what it says stands at the end.
test: style
	@mkdir -p build
	$(BIN)/mypy > build/mypy.txt 2>&1 & types=$$!; \
	$(BIN)/python -m pytest -n auto --dist worksteal; tests=$$?; \
	wait $$types; types=$$?; cat build/mypy.txt; [ $$tests = 0 ] && [ $$types = 0 ]

docs: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -b html -d build/doctrees docs build/site

release-check: .venv/installed
	$(BIN)/python tools/release_check.py --demo

# A small version of benchmarks/evidence: make evidence MODEL=mbf.safetensors FACES=faces PAIRS=pairs.txt IMAGES=lfw
SMALL = --model $(MODEL) --faces $(FACES) --pairs $(PAIRS) $(if $(IMAGES),--images $(IMAGES)) --cache build/evidence/cache \
	--out build/evidence/runs --most 4 --draws 1 --folds 2 --degradations "resolution 28" "resolution 14" --steps 100 --seeds 0 1

evidence: .venv/installed
	$(if $(and $(MODEL),$(FACES),$(PAIRS)),,$(error evidence: give MODEL=, FACES=, PAIRS= and, for a text list of pairs, IMAGES=))
	PYTHONPATH=benchmarks $(BIN)/python -m evidence.adaface $(SMALL) --no-sweeps
	PYTHONPATH=benchmarks $(BIN)/python -m evidence.elastic $(SMALL)
	PYTHONPATH=benchmarks $(BIN)/python -m evidence.kept_form $(SMALL)
	PYTHONPATH=benchmarks $(BIN)/python -m evidence.networks --faces $(FACES) --pairs $(PAIRS) $(if $(IMAGES),--images $(IMAGES)) \
		--out build/evidence/runs --folds 2 --degradations "resolution 14" --start 10 --steps 10 --seeds 0 1
	PYTHONPATH=benchmarks $(BIN)/python -m evidence.forms --faces $(FACES) --pairs $(PAIRS) $(if $(IMAGES),--images $(IMAGES)) \
		--out build/evidence/runs --folds 2 --margins ArcFace --steps 10 --seeds 0 1
	PYTHONPATH=benchmarks $(BIN)/python -m evidence.collapse --faces $(FACES) --people 30 --seeds 0 --steps 100
	PYTHONPATH=benchmarks $(BIN)/python -m evidence.generated --faces $(FACES) --pairs $(PAIRS) $(if $(IMAGES),--images $(IMAGES)) \
		--out build/evidence/generated --people 30 --steps 40 --folds 2 --seeds 0 1
