# Everything from a fresh clone. Needs Python 3.11 to 3.14 with venv, and make; the rest is installed into .venv.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$name && break; done)
BOOTSTRAP = exec env PYTHONPATH=src $(PYTHON) -m strvsocial.local.bootstrap

.PHONY: help up test soak check bench clean python
.SILENT:

help: ## shows this
	echo "make up       run the site at http://localhost:8000 (PORT changes it); Ctrl-C stops it"
	echo "make test     the whole suite, browser journeys included"
	echo "make soak     what takes longer"
	echo "make check    format, lint, types, import contracts, migration drift"
	echo "make bench    the benchmarks; results in bench/results/"
	echo "make clean    removes .venv, built files and caches; your data in .data stay"

up: python
	$(BOOTSTRAP) strvsocial.local.up

test: python
	$(BOOTSTRAP) --tests strvsocial.local.suite test

soak: python
	$(BOOTSTRAP) --tests strvsocial.local.suite soak

check: python
	$(BOOTSTRAP) --tests strvsocial.local.check

bench: python
	$(BOOTSTRAP) --tests bench.run

clean:
	rm -rf .venv node_modules static/dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.data/*' -prune -exec rm -rf {} +

python:
	test -n "$(PYTHON)" || { echo "This needs Python 3.11 to 3.14. Install one, or name it: make up PYTHON=/path/to/python3"; exit 1; }
