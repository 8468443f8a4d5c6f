# make demo    install, prepare simulated ultrasound, compare three optimizers, print the table
# make test    install, run all tests
# make test-lowest   the same with the lowest versions that pyproject.toml allows, in .venv-lowest
# make check   lint, types, tests
# make docs    write the pages under docs/ anew from the package
# make bench   measure preparation, audit, optimizers, epochs, suites and curvature on the CPU against
#              bare loops and peers; QUICK=--quick RESULTS=/tmp for a look in minutes
# make bench-gpu   check and time training steps on a GPU, in ten minutes; without one it says so

PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check
INSTALLED = .venv/.installed
RESULTS = benchmarks/results
QUICK =

.PHONY: install demo test test-lowest check docs bench bench-gpu

install: $(INSTALLED)

demo: $(INSTALLED)
	.venv/bin/sambench prepare phantom
	.venv/bin/sambench compare suites/demo.yaml

test: $(INSTALLED)
	.venv/bin/python -m pytest

test-lowest:
	"$(PYTHON)" -m venv .venv-lowest
	.venv-lowest/bin/python -c 'import tomllib; \
	  project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  needed = project["dependencies"] + project["optional-dependencies"]["test"]; \
	  print(*(each.replace(">=", "==") for each in needed), sep="\n")' > .venv-lowest/lowest.txt
	$(PIP:.venv/%=.venv-lowest/%) install -qq -c .venv-lowest/lowest.txt -e '.[test]'
	.venv-lowest/bin/python -m pytest

check: $(INSTALLED)
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/python -m pytest

docs: $(INSTALLED)
	.venv/bin/python -m docs.generator

bench: $(INSTALLED)
	@for script in prepare audit optimizer_overhead epoch dispatch curvature; do \
	  file=$(RESULTS)/$$(date +%F)-$$(echo $$script | tr _ -).json; \
	  .venv/bin/python benchmarks/$$script.py $(QUICK) --json $$file || exit 1; \
	done
	.venv/bin/python benchmarks/summary.py --results $(RESULTS)

bench-gpu: $(INSTALLED)
	.venv/bin/python benchmarks/gpu.py --json $(RESULTS)/$$(date +%F)-gpu.json

# The pins are exact versions; with uv the same install takes half the time. Running one operator
# of torchvision catches a torch that it was not built for.
$(INSTALLED): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: $(PYTHON) is not Python 3.11-3.13; use make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x .venv/bin/python || "$(PYTHON)" -m venv .venv
	@echo "installing the pinned versions into .venv (torch is large: a minute or more)"
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --python .venv/bin/python -c constraints.txt -e '.[test,dev]'; \
	else \
	  $(PIP) install -qq -c constraints.txt -e '.[test,dev]'; \
	fi
	@.venv/bin/python -c 'import torch, torchvision; \
	  torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)'
	@touch $(INSTALLED)
