# Two commands that set up all they need, in a virtual environment of their own:
#   make demo    classifies digits in private; ARGS="--plot digits.png" draws them
#   make test    every check of the project; pytest's closing line comes last
# And one that takes an hour or two:
#   make mutation    mutates protocols, masks and frames, and says which mutants no test noticed (docs/mutation.md)
# They use `python3`; for another Python 3.11 to 3.13:  make test PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

.PHONY: demo test mutation clean
.SILENT:

demo: $(VENV)/.has-demo
	$(RUN) -m jmpc_examples.private_prediction $(ARGS)

test: $(VENV)/.has-test
	$(RUN) -m ruff check --quiet .
	$(RUN) -m ruff format --quiet --check .
	$(RUN) -m pyright --pythonpath $(RUN) > $(VENV)/pyright.txt || { cat $(VENV)/pyright.txt; exit 1; }
	$(RUN) -m pytest --quiet --numprocesses 2 --dist loadfile $(ARGS)

mutation: $(VENV)/.has-mutation
	$(RUN) -m tests.mutation --resume $(VENV)/mutation.json $(ARGS)

clean:
	rm -rf .venv

$(VENV)/.has-%: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "jmpc needs Python 3.11 to 3.13, and this is %d.%d: make ... PYTHON=python3.12" % v)'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -qq --editable '.[$*]'
	touch $@
