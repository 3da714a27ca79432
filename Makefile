# Two commands that set up all they need, in a virtual environment of their own:
#   make demo    classifies digits in private; ARGS="--plot digits.png" draws them
#   make test    every check of the project; pytest's closing line comes last
# Two more, for those who change jmpc:
#   make test-oldest  what depends on JAX, with the lowest versions that pyproject.toml promises, on Python 3.11
#   make mutation     mutates protocols, masks and frames, and says which mutants no test noticed (docs/mutation.md);
#                     takes an hour or two
# They use `python3`; for another Python 3.11 to 3.13:  make test PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
TYPES = $(VENV)/types
OLDEST_PYTHON ?= python3.11
OLDEST_VENV ?= .venv-oldest
OLDEST_TESTS = tests/frontend tests/executors $(addprefix tests/api/test_,models.py secure.py stages.py handles.py random.py)
# What is about numbers and links, in whatever form JAX gives a function.
NOT_OLDEST = $(patsubst %,--ignore=tests/%.py,$(addprefix frontend/test_,beyond binary_point power roots sums) executors/test_network)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

.PHONY: demo test test-oldest mutation clean
.SILENT:

demo: $(VENV)/.has-demo
	$(RUN) -m jmpc demo $(ARGS)

test: $(VENV)/.has-test $(TYPES)/.has-requirements
	$(RUN) -m ruff check --quiet .
	$(RUN) -m ruff format --quiet --check .
	$(RUN) -m tests.strict --pythonpath $(TYPES)/bin/python
	$(RUN) -m pytest --quiet --numprocesses 2 --dist loadfile $(ARGS)

test-oldest: $(OLDEST_VENV)/.has-suite
	$(OLDEST_VENV)/bin/python -m pytest --quiet --numprocesses 2 --dist loadfile $(OLDEST_TESTS) $(NOT_OLDEST) $(ARGS)

mutation: $(VENV)/.has-mutation
	$(RUN) -m tests.mutation --resume $(VENV)/mutation.json $(ARGS)

clean:
	rm -rf .venv .venv-oldest

$(TYPES)/.has-requirements: tests/strict/requirements.txt $(VENV)/.has-test
	test -x $(TYPES)/bin/python || $(RUN) -m venv $(TYPES)
	$(TYPES)/bin/python -m pip install -qq --requirement tests/strict/requirements.txt
	touch $@

$(OLDEST_VENV)/.has-suite: pyproject.toml .ci/oldest.py
	$(OLDEST_PYTHON) -m venv --clear $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python .ci/oldest.py > $(OLDEST_VENV)/constraints.txt
	$(OLDEST_VENV)/bin/python -m pip install -qq --constraint $(OLDEST_VENV)/constraints.txt --editable '.[suite]'
	touch $@

$(VENV)/.has-%: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "jmpc needs Python 3.11 to 3.13, and this is %d.%d: make ... PYTHON=python3.12" % v)'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -qq --editable '.[$*]'
	touch $@
