# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
# All but those that need options or a network of their own; they have lines of their own below.
METHODS := $(shell echo $(sort $(filter-out puzzlemix attentive_cutmix tokenmix transmix smmix mixpro automix samix adautomix \
  factor_mixup,$(basename $(notdir $(wildcard configs/method/*.yaml))))) | tr " " ,)
# For transformers: a small one.
PATCHES := method=transmix,smmix,mixpro model=deit_s model.size=[8,8] model.patch=4 model.depth=1 model.heads=2 \
  recipe.optimizer=adamw recipe.momentum=0 recipe.nesterov=false recipe.lr=0.01 recipe.batch_size=16

# Factors: pictures that are drawn from them.
FACTORS := method=factor_mixup experiment=manifold_slanted_c dataset.train_images=2048 dataset.test_images=256 \
  recipe.batch_size=32 model.widths=[8,8] threads=1

# Learned mixers: their encoder, which is tested, follows within a short run.
LEARNED := method=automix,samix,adautomix method.momentum=0.9 method.end_momentum=0.9

DEMO := dataset=digits model.width=8 recipe=short recipe.epochs=5 threads=1
SMOKE := recipe=smoke dataset.subset=200 dataset.test_subset=100 recipe.batch_size=50 model.width=4 threads=1

.PHONY: help setup demo test test-slow test-gpu coverage docs lint format smoke bench evidence cards mixers tables figures clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: .venv/done  ## make .venv and install msda-train into it, with the tools for developing it

.venv/done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v < (3, 14) and f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}; type make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup  ## train every method on real handwritten digits, two seeds each, and print the table
	$(BIN)/msda-train $(DEMO) model.blocks=[2,2] runs=runs/demo-teacher
	$(BIN)/msda-train -m method=$(METHODS) seed=0,1 $(DEMO) runs=runs/demo >/dev/null
	$(BIN)/msda-train -m method=puzzlemix method.blocks=[2,4] seed=0,1 $(DEMO) runs=runs/demo >/dev/null
	$(BIN)/msda-train -m method=attentive_cutmix method.teacher=runs/demo-teacher method.k=2 seed=0,1 $(DEMO) \
	  runs=runs/demo >/dev/null
	$(BIN)/msda-train -m method=tokenmix method.teacher=runs/demo-teacher seed=0,1 $(DEMO) runs=runs/demo >/dev/null
	$(BIN)/msda-train -m seed=0,1 $(DEMO) $(LEARNED) runs=runs/demo >/dev/null
	$(BIN)/msda-train -m seed=0,1 $(DEMO) $(PATCHES) runs=runs/demo >/dev/null
	$(BIN)/msda-train -m seed=0,1 $(FACTORS) runs=runs/demo >/dev/null
	$(BIN)/msda-table runs/demo

test: setup  ## run the tests
	$(BIN)/python -m pytest

test-slow: setup  ## run the tests that take minutes
	$(BIN)/python -m pytest -n 0 -m slow

test-gpu: setup  ## run the tests that need a CUDA device
	$(BIN)/python -m pytest -n 0 -m gpu

coverage: setup  ## run the tests and say which lines none of them reaches
	$(BIN)/python -m pytest --cov --cov-report=term-missing

docs: setup  ## build the documentation site, site/index.html
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## let ruff format and mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

smoke: setup  ## every method for two epochs on 200 digits
	$(BIN)/msda-train -m method=$(METHODS) $(SMOKE) runs=runs/smoke
	$(BIN)/msda-train method=puzzlemix method.blocks=[2,4] $(SMOKE) runs=runs/smoke
	$(BIN)/msda-train $(SMOKE) model.blocks=[1,1] runs=runs/smoke-teacher
	$(BIN)/msda-train method=attentive_cutmix method.teacher=runs/smoke-teacher method.k=2 $(SMOKE) runs=runs/smoke
	$(BIN)/msda-train method=tokenmix method.teacher=runs/smoke-teacher $(SMOKE) runs=runs/smoke
	$(BIN)/msda-train -m $(SMOKE) $(LEARNED) runs=runs/smoke
	$(BIN)/msda-train -m $(SMOKE) $(PATCHES) runs=runs/smoke
	$(BIN)/msda-train $(FACTORS) runs=runs/smoke

bench: setup  ## measure speed as ratios, docs/performance.md; ARGS='--only 2,3', ARGS=--full
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	PYTHONPATH=scripts $(BIN)/python -m bench $(ARGS)
	$(BIN)/python scripts/write_bench.py

# On a machine lent for minutes nothing is installed by setup: the Python there is, with its torch, is used.
MINUTES ?= 12
KEEP ?= evidence
evidence:  ## on a GPU lent for MINUTES: check it, measure it, run what decides most; KEEP=FOLDER, WORDS=...
	@$(if $(wildcard .venv/done),$(BIN)/python,$(PYTHON)) scripts/evidence.py --minutes $(MINUTES) --keep $(KEEP) $(WORDS)

cards: setup  ## write docs/methods/: a page and a picture of every method
	$(BIN)/python scripts/method_cards.py

mixers: setup  ## write docs/mixers.md: the laws of mixing, held against ours, torchvision's, timm's and kornia's
	$(BIN)/msda-check mixers torchvision timm kornia --markdown >docs/mixers.md || test $$? = 1

tables: setup  ## write results/tables/ and the README's table from the rows in results/rows/
	$(BIN)/python scripts/write_tables.py

figures: setup  ## draw results/figures/ from the rows in results/rows/
	$(BIN)/python scripts/figures.py

clean:  ## remove the environment and caches; runs/ stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build dist site
