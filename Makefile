# The commands of this repository, which CI calls too. `make help` lists them.
# They need make and Python 3.11 or newer, and install the rest from requirements/*.txt.

PYTHON ?= python3
VENV ?= .venv

PY := $(VENV)/bin/python
BUILD := build
BENCHED := $(if $(ARGS),build/bench,benchmarks/results)
WHEELENV := $(BUILD)/env
WHEELPY := $(WHEELENV)/bin/python
DEMO := $(BUILD)/demo
CHECKED := $(wildcard src tests examples benchmarks)
SOURCES := pyproject.toml hatch_build.py LICENSE NOTICE README.md $(shell find src -type f -not -name '*.py[co]')

# Tests run on every core, but on eight at most: each worker starts servers of its own.
WORKERS ?= -n auto --maxprocesses=8 --dist=worksteal

# What quick runs leave out: tests of servers and clients, and planted bugs.
UNSERVED := $(foreach folder,benchmarks demo faults model_servers sdk servers,--ignore=tests/$(folder)) \
	--ignore-glob='*_catches_bugs.py'

# COVERAGE=1 also measures what the tests run, for `make coverage`. It more than doubles their time, and
# the slow tests repeat with servers, faults and many examples what the others run once: these are not measured.
# Tests of what is done with every character of a text, by the kernel or in Python.
READING := analyzer capabilities chunks folding habits items kernel repeats smalltalk spelling static wordpiece

PYTEST := $(if $(COVERAGE),-m coverage run )-m pytest
IS_WHEEL := @$(WHEELPY) -c "import querybudget as q; assert '$(WHEELENV)' in q.__file__, q.__file__"

# Model servers that are run as the examples run them. vLLM's and SGLang's stand-ins need FastAPI alone.
SERVERS ?= fastapi starlette vllm sglang litserve bentoml litellm ray_serve transformers llama_cpp fastmcp
SERVERS_INSTALLED := $(patsubst %,$(BUILD)/servers/%/.installed,$(sort $(patsubst vllm,fastapi,$(patsubst sglang,fastapi,$(SERVERS)))))

PIP := -m pip --disable-pip-version-check --quiet
# Pins for every platform at once, with hashes, and without the index they came from.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE)

# Mirrors, proxies and caches belong in the user's pip settings; none is named here.
export PIP_NO_INPUT := 1
# Material prints a notice about another project's plans on every build.
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo quick test test-slow test-pure test-all test-deploy test-servers coverage check format bench bench-page sweep campaign fuzz hostile lowest audit dist docs dev kernel lock clean python

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(DEMO)/.installed ## see budgets at work, in the terminal
	$(DEMO)/bin/querybudget demo

quick: $(VENV)/.editable ## test src without servers, clients, counted steps, reports and planted bugs, with few examples
	$(PY) -m pytest $(WORKERS) --hypothesis-profile=quick -m 'not slow and not real_server' \
		$(UNSERVED) --ignore=tests/growth --ignore=tests/report $(ARGS)

kernel: hatch_build.py src/querybudget/embedding/_kernel.c $(VENV)/.installed ## compile the kernel beside its source, for `make quick` and `make fuzz`
	rm -f $(VENV)/.editable
	QUERYBUDGET_KERNEL=1 $(MAKE) $(VENV)/.editable

test: $(WHEELENV)/.installed ## build the wheel, install it, and test it, but for the slow tests
	$(IS_WHEEL)
	$(WHEELPY) $(PYTEST) $(WORKERS) -m 'not slow and not model_server' $(ARGS)

test-slow: $(WHEELENV)/.installed ## run the slow tests against the wheel
	$(IS_WHEEL)
	$(WHEELPY) $(PYTEST) $(WORKERS) -m slow $(ARGS)

# With a compiler, the wheel has the kernel, and other tests run that.
test-pure: $(WHEELENV)/.installed ## test what the kernel does in Python, against the wheel
	$(IS_WHEEL)
	QUERYBUDGET_PURE=1 QUERYBUDGET_REQUIRE_KERNEL= $(WHEELPY) $(PYTEST) $(WORKERS) --hypothesis-profile=quick --hypothesis-seed=0 \
		-m 'not slow' $(patsubst %,tests/embedding/test_%.py,$(READING)) $(ARGS)

# The tests of a file run in one process, so that each server starts once.
test-servers: $(WHEELENV)/.installed $(SERVERS_INSTALLED) ## run the examples of model servers, in their own environments: make test-servers SERVERS="litserve bentoml"
	$(IS_WHEEL)
	SERVERS="$(SERVERS)" $(WHEELPY) -m pytest $(WORKERS) --dist=loadfile -m model_server tests/model_servers $(ARGS)

coverage: $(WHEELENV)/.installed ## report what tests with COVERAGE=1 ran, and hold it to 95 %
	$(WHEELPY) -m coverage combine --quiet
	$(WHEELPY) -m coverage report

test-all: $(WHEELENV)/.installed ## run every test against the wheel, and hold the coverage of the fast ones to 95 %
	$(WHEELPY) -m coverage erase
	$(MAKE) test COVERAGE=1
	$(MAKE) test-pure
	$(MAKE) test-slow
	$(MAKE) coverage

# With the benchmarks' rivals at hand: their types are checked too.
check: $(VENV)/.bench ## style, types, and the direction of imports
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(CHECKED)
	$(PY) -m pyright --pythonpath $(PY)
	PYTHONPATH=src $(VENV)/bin/lint-imports

format: $(VENV)/.installed ## fix what ruff can fix
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# LITELLM names the program of LiteLLM's proxy; what is not installed is said, not measured.
bench: $(WHEELENV)/.installed $(VENV)/.peers ## measure all of docs/performance.md, and write it: 15 minutes; make bench ARGS=--quick writes into build/bench
	@mkdir -p $(BENCHED)
	$(WHEELPY) -m benchmarks.overhead --out $(BENCHED)/overhead.json $(ARGS)
	$(WHEELPY) -m benchmarks.stores --out $(BENCHED)/stores.json $(ARGS)
	LITELLM="$(LITELLM)" $(WHEELPY) -m benchmarks.http --out $(BENCHED)/http.json $(ARGS)
	$(WHEELPY) -m benchmarks.scale --out $(BENCHED)/scale.json $(ARGS)
	$(WHEELPY) -m benchmarks.simulate --results $(BENCHED) --out $(BENCHED)/simulate.json
	$(if $(ARGS),,$(MAKE) bench-page)

bench-page: $(WHEELENV)/.installed $(VENV)/.bench ## write docs/performance.md and the README's figures from benchmarks/results
	$(WHEELPY) -m benchmarks.stores --report benchmarks/results/stores.json --into docs/performance.md
	$(WHEELPY) -m benchmarks.page

sweep: $(WHEELENV)/.installed $(VENV)/.bench ## coverage budgets on real prompts: make sweep CORPORA=DIR
	@mkdir -p benchmarks/results
	$(WHEELPY) -m benchmarks.sweep --corpora $(CORPORA) --out benchmarks/results/sweep.json --html $(BUILD) $(ARGS)

campaign: $(WHEELENV)/.installed $(VENV)/.bench ## campaigns of many accounts beside honest callers: make campaign CORPORA=DIR
	@mkdir -p benchmarks/results
	$(WHEELPY) -m benchmarks.campaign --corpora $(CORPORA) --out benchmarks/results/campaign.json $(ARGS)

fuzz: $(VENV)/.editable ## try inputs that nobody would send, on every target in turn: make fuzz MINUTES=30
	$(PY) -m tests.fuzz --minutes $(or $(MINUTES),10) --folder $(BUILD)/fuzz $(ARGS)

hostile: $(VENV)/.editable ## measure what the worst bodies cost, as a multiple of parsing them
	$(PY) -m benchmarks.hostile $(ARGS)

test-deploy: $(WHEELENV)/.installed $(VENV)/.deploy ## check deploy/ by the schemas of Compose and Kubernetes, and by hadolint
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(WHEELPY) -m pytest tests/test_deploy.py $(ARGS)

# uvicorn 0.37 uses what websockets 14 and later warn of. Starlette 0.45's test client closes no streams of an
# application that does not start.
lowest: $(BUILD)/lowest/.installed $(BUILD)/wheel/.built ## test the wheel with the lowest versions of what it depends on, quickly
	$(BUILD)/uv/bin/uv pip install --quiet --no-deps --reinstall --python $(BUILD)/lowest/bin/python $(BUILD)/wheel/*.whl
	$(BUILD)/lowest/bin/python -m pytest $(WORKERS) \
		-W 'ignore:websockets:DeprecationWarning' \
		-W 'ignore:Unclosed <MemoryObject:ResourceWarning' \
		-W 'ignore::DeprecationWarning:websockets.legacy.server' \
		-W 'ignore::DeprecationWarning:uvicorn.protocols.websockets.websockets_impl' \
		--hypothesis-profile=quick -m 'not slow and not real_server' $(UNSERVED) --ignore=tests/test_architecture.py $(ARGS)

# Without --strict, pip-audit finds no vulnerability in what it could not look up.
audit: $(BUILD)/audit/.installed ## look up known vulnerabilities of what requirements/*.txt pins; fails where it cannot
	@for file in requirements/dev.txt requirements/bench.txt; do \
		$(BUILD)/audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement $$file || { \
			echo "make audit: the above was found in $$file. If it is a package that could not be audited," \
				"nothing is known of any: pip-audit asks PyPI itself, and no mirror of it." >&2; exit 1; }; done

# The wheels with the kernel are of each platform, and built there: .github/workflows/release.yml.
dist: $(BUILD)/audit/.installed $(VENV)/.installed ## build what is released everywhere: pure wheel, source, and the wheel's SBOM (CycloneDX)
	rm -rf dist
	QUERYBUDGET_KERNEL=0 $(PY) -m build --no-isolation --outdir dist .
	$(PY) -m venv $(BUILD)/released
	$(BUILD)/released/bin/python $(PIP) install dist/*.whl
	$(BUILD)/audit/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library \
		--output-reproducible -o dist/querybudget.cdx.json $(BUILD)/released/bin/python

docs: $(VENV)/.installed ## build the documentation; any warning fails
	$(PY) -m mkdocs build --strict

dev: $(VENV)/.editable ## put src on .venv's path, so that .venv/bin/pytest runs what you edit

lock: $(BUILD)/uv/.installed ## write requirements/*.txt again; UPGRADE=--upgrade for newer releases
	$(BUILD)/uv/bin/$(COMPILE) --extra all --group dev -o requirements/dev.txt pyproject.toml
	$(BUILD)/uv/bin/$(COMPILE) --group bench -c requirements/dev.txt -o requirements/bench.txt pyproject.toml
	$(BUILD)/uv/bin/$(COMPILE) --group peers -c requirements/dev.txt -c requirements/bench.txt -o requirements/peers.txt pyproject.toml
	$(BUILD)/uv/bin/$(COMPILE) --group fuzz -c requirements/dev.txt -o requirements/fuzz.txt pyproject.toml
	$(BUILD)/uv/bin/$(COMPILE) --group deploy -c requirements/dev.txt -o requirements/deploy.txt pyproject.toml
	for file in requirements/servers/*.in; do \
		$(BUILD)/uv/bin/$(COMPILE) -o "$${file%.in}.txt" pyproject.toml "$$file" || exit 1; done
	$(BUILD)/uv/bin/$(COMPILE) --extra demo --group build -c requirements/dev.txt -o requirements/demo.txt pyproject.toml

clean: ## remove what this file makes, and what the tools leave behind
	rm -rf $(BUILD) dist .venv .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- Environments -------------------------------------------------------------------------------

python:
	@$(PYTHON) -c '' 2>/dev/null || { \
		echo "make: cannot run '$(PYTHON)'. Install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: '$(PYTHON)' is $$($(PYTHON) -V); querybudget needs 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: '$(PYTHON)' comes without venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# The environment of the tools: everything in requirements/dev.txt, and not querybudget itself
# (unless `make dev` puts src there for you).
$(VENV)/.installed: requirements/dev.txt | python
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) $(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.editable: pyproject.toml $(VENV)/.installed
	$(PY) $(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.installed
	$(PY) $(PIP) install --require-hashes -r requirements/bench.txt
	@touch $@

$(VENV)/.peers: requirements/peers.txt $(VENV)/.bench
	$(PY) $(PIP) install --require-hashes -r requirements/peers.txt
	@touch $@

$(VENV)/.deploy: requirements/deploy.txt $(VENV)/.installed
	$(PY) $(PIP) install --require-hashes -r requirements/deploy.txt
	@touch $@

$(VENV)/.fuzz: requirements/fuzz.txt $(VENV)/.installed
	$(PY) $(PIP) install --require-hashes -r requirements/fuzz.txt
	@touch $@

$(BUILD)/wheel/.built: $(SOURCES) $(VENV)/.installed
	rm -rf $(BUILD)/wheel
	@mkdir -p $(BUILD)
	$(PY) -m build --wheel --no-isolation --outdir $(BUILD)/wheel . > $(BUILD)/wheel.log 2>&1 \
		|| { cat $(BUILD)/wheel.log; rm -f $(BUILD)/wheel.log; exit 1; }
	@rm -f $(BUILD)/wheel.log
	@touch $@

# The environment of the tests: the wheel, and a line that appends .venv's packages to the path.
# Python reads no .pth file of a directory that is appended this way. So src, which `make dev` adds
# to .venv by such a file, cannot be imported here: tests import what users install. For the same
# reason, the file that starts coverage in child processes is copied.
$(WHEELENV)/.installed: $(BUILD)/wheel/.built
	rm -rf $(WHEELENV)
	$(PY) -m venv --without-pip $(WHEELENV)
	@$(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$($(WHEELPY) -c "import sysconfig; print(sysconfig.get_path('purelib'))")/a0_tools.pth"
	@cp "$$($(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))")/a1_coverage.pth" \
		"$$($(WHEELPY) -c "import sysconfig; print(sysconfig.get_path('purelib'))")/"
	$(PY) -m pip --disable-pip-version-check --quiet --python $(WHEELPY) \
		install --no-deps --no-index --force-reinstall $(BUILD)/wheel/*.whl
	@touch $@

# A server that cannot be installed is skipped by its tests, which say why: missing.txt. What has no
# wheel everywhere stands in a file of its own, without hashes, and is not built here.
$(BUILD)/servers/%/.installed: requirements/servers/%.txt $(BUILD)/wheel/.built
	@rm -rf $(@D)/missing.txt && mkdir -p $(@D)
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@if { $(@D)/bin/python $(PIP) install --require-hashes -r $< \
		&& $(foreach file,$(wildcard requirements/servers/$*-binary.txt),$(@D)/bin/python $(PIP) install --no-deps --only-binary :all: -r $(file) &&) \
		$(@D)/bin/python $(PIP) install --no-deps --no-index --force-reinstall $(BUILD)/wheel/*.whl; } 2> $(@D)/missing.txt; \
	then rm $(@D)/missing.txt; touch $@; else cat $(@D)/missing.txt >&2; fi

$(DEMO)/.installed: requirements/demo.txt $(SOURCES) | python
	test -x $(DEMO)/bin/python || $(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python $(PIP) install --require-hashes -r requirements/demo.txt
	$(DEMO)/bin/python $(PIP) install --no-deps --no-build-isolation --no-index --force-reinstall .
	@touch $@

# The lowest versions of what pyproject.toml lets users have, and the newest tools that run with them.
$(BUILD)/lowest/.installed: pyproject.toml tools/lowest.py $(BUILD)/uv/.installed
	$(PYTHON) -m tools.lowest > $(BUILD)/lowest.in
	$(BUILD)/uv/bin/uv pip compile --quiet --python-version 3.11 --extra all --group test --no-header \
		-c $(BUILD)/lowest.in -o $(BUILD)/lowest.txt pyproject.toml
	$(PYTHON) -m venv --clear $(BUILD)/lowest
	$(BUILD)/uv/bin/uv pip install --quiet --python $(BUILD)/lowest/bin/python -r $(BUILD)/lowest.txt
	@touch $@

$(BUILD)/audit/.installed: | python
	$(PYTHON) -m venv $(BUILD)/audit
	$(BUILD)/audit/bin/python $(PIP) install 'cyclonedx-bom>=7' 'pip-audit>=2.9'
	@touch $@

$(BUILD)/uv/.installed: | python
	$(PYTHON) -m venv $(BUILD)/uv
	$(BUILD)/uv/bin/python $(PIP) install uv
	@touch $@
