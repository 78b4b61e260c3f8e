# On a machine with only Python (3.11 or newer) and make, two commands do everything:
#
#   make demo    set up, then the whole way once: pack, de-render, metrics, a contact sheet
#   make test    set up, then all tests
#
# `make fuzz` mutates 15,000 files, kills packs and gives every command small files that ask for much,
# to see that rvdtool refuses them cleanly.
# `make PYTHON=python3.12 test` chooses the interpreter; `make clean` removes all that was made.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
CLIP := examples/nokia_n900
DEMO := demo
SMOKE := .venv-smoke
# Without --no-compile, pip compiles every module of every library, a third of its time. Python
# compiles those that are imported, when they are.
INSTALL := -m pip install --quiet --no-compile

.PHONY: test test-newest test-oldest lint demo smoke fuzz clean bench

test: $(INSTALLED)
	$(BIN)/python -m pytest -p tests.workers --numprocesses auto --maxprocesses 8 --dist worksteal

# What `pip install` brings today, and the oldest releases that pyproject.toml allows. On Linux each
# takes several GB of CUDA libraries and some minutes; nothing stays.
test-newest:
	.ci/test-releases newest $(PYTHON)

test-oldest:
	.ci/test-releases oldest $(PYTHON)

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: $(INSTALLED)
	rm -rf $(DEMO)
	mkdir $(DEMO)
	$(BIN)/rvdtool pack $(CLIP)/video.mp4 $(CLIP)/first.dng -o $(DEMO)/clip.rvd
	$(BIN)/rvdtool derender $(DEMO)/clip.rvd -o $(DEMO)/raws
	$(BIN)/rvdtool metrics $(DEMO)/raws $(CLIP)/ground_truth --video $(CLIP)/video.mp4 --sheet $(DEMO)/sheet.png
	@echo
	@echo "The RAW frames (DNG) are in $(DEMO)/raws, the contact sheet is $(DEMO)/sheet.png"

# What users get: a plain, unpinned `pip install .` and the three main commands. Only torch is held at
# its pin, for which CI has a small CPU build: the newest one from PyPI takes 6 GB. It is built from a
# copy of the files that git knows, since `make lint` may be building in this folder at the same time.
smoke:
	$(PYTHON) -m venv --clear $(SMOKE)
	mkdir $(SMOKE)/source
	git ls-files -z | tar -c --null -T - | tar -x -C $(SMOKE)/source
	grep '^torch==' constraints.txt > $(SMOKE)/torch.txt
	$(SMOKE)/bin/python $(INSTALL) --constraint $(SMOKE)/torch.txt ./$(SMOKE)/source
	$(SMOKE)/bin/rvdtool pack $(CLIP)/video.mp4 $(CLIP)/first.dng -o $(SMOKE)/clip.rvd
	$(SMOKE)/bin/rvdtool derender $(SMOKE)/clip.rvd -o $(SMOKE)/raws
	$(SMOKE)/bin/rvdtool metrics $(SMOKE)/raws $(CLIP)/ground_truth

# How much faster than a pinned older commit, in one run, into bench.json. Wants a quiet machine.
bench: $(INSTALLED)
	$(BIN)/python examples/bench.py -o bench.json

# Damaged and forged files by the thousand, and packs killed at any time: nothing but clear errors.
fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz.run --keep fuzz-failures
	$(BIN)/python -m tests.fuzz.commands

clean:
	rm -rf $(VENV) $(SMOKE) $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# The exact versions of constraints.txt, so that a run today and a run next year are the same run.
# The file inside the environment is made last: an interrupted installation is done again.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rvdtool needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python $(INSTALL) --constraint constraints.txt setuptools
	$(BIN)/python $(INSTALL) --constraint constraints.txt --no-build-isolation --editable '.[cluster,exr,jod,report,research,dev]'
	@touch $@
