# make demo    install, prepare simulated ultrasound, compare three optimizers, print the table
# make test    install, run the tests: a process more than there are cores (at most eight)
# make test-all      the same with every case of what make test samples, and other random examples
# make test-gpu      what needs a GPU, which all other tests leave alone
# make test-processors   what depends on arithmetic, in nine ways: the instructions that torch, MKL,
#              oneDNN and OpenBLAS use (plain, AVX2, AVX-512) by one, two and four threads;
#              and once with other processors simulated (tests/nudge.py);
#              WAYS="avx2-1 nudged-1" and TESTS=tests/curvature take some of it
# make test-lowest   make test with the lowest versions that pyproject.toml allows, in .venv-lowest
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
PARALLEL = -n auto --dist loadfile --no-loadscope-reorder
WAYS = default-1 default-2 default-4 avx2-1 avx2-2 avx2-4 avx512-1 avx512-2 avx512-4 nudged-1
TESTS = tests

.PHONY: install demo test test-all test-gpu test-processors $(WAYS) test-lowest check docs bench \
  bench-gpu

install: $(INSTALLED)

demo: $(INSTALLED)
	.venv/bin/sambench prepare phantom
	.venv/bin/sambench compare suites/demo.yaml

test: $(INSTALLED)
	.venv/bin/python -m pytest $(PARALLEL) -m 'not exhaustive'

test-all: $(INSTALLED)
	.venv/bin/python -m pytest $(PARALLEL) --hypothesis-profile=anew

test-gpu: $(INSTALLED)
	SAMBENCH_TEST_GPU=1 .venv/bin/python -m pytest tests/training/test_on_gpu.py \
	  tests/training/test_compiled.py

# ATEN_CPU_CAPABILITY is torch's choice, which it does not check against the processor; the
# libraries below it choose for themselves and are told as well.
default-%: FLAG = processor
default-%: INSTRUCTIONS = ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE \
  ONEDNN_MAX_CPU_ISA=SSE41 OPENBLAS_CORETYPE=Prescott
avx2-%: FLAG = avx2
avx2-%: INSTRUCTIONS = ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=AVX2 \
  ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell
avx512-%: FLAG = avx512vl
avx512-%: INSTRUCTIONS = ATEN_CPU_CAPABILITY=avx512 MKL_CBWR=AVX512 \
  ONEDNN_MAX_CPU_ISA=AVX512_CORE OPENBLAS_CORETYPE=SkylakeX

nudged-%: FLAG = processor
nudged-%: PLUGIN = -p tests.nudge

test-processors: $(WAYS)

$(WAYS): $(INSTALLED)
	@if grep -qw $(FLAG) /proc/cpuinfo; then \
	  echo "== $@ threads" && OMP_NUM_THREADS=$(lastword $(subst -, ,$@)) $(INSTRUCTIONS) \
	  .venv/bin/python -m pytest $(PARALLEL) $(PLUGIN) -m 'arithmetic and not exhaustive' \
	  $(TESTS); \
	else \
	  echo "== $@ threads: left out, this processor has no $(FLAG)"; \
	fi

test-lowest:
	"$(PYTHON)" -m venv .venv-lowest
	.venv-lowest/bin/python -c 'import tomllib; \
	  project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  needed = project["dependencies"] + project["optional-dependencies"]["test"]; \
	  print(*(each.replace(">=", "==") for each in needed), sep="\n")' > .venv-lowest/lowest.txt
	$(PIP:.venv/%=.venv-lowest/%) install -qq -c .venv-lowest/lowest.txt -e '.[test]'
	.venv-lowest/bin/python -m pytest $(PARALLEL) -m 'not exhaustive'

check: $(INSTALLED)
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	$(MAKE) test

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
