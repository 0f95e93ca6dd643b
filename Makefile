# make app    open Leuk in a browser          make lint    ruff and mypy
# make test   every check there is            make clean   forget what these made
#
# Each is enough on a machine with nothing but Python 3.11 or later: what is needed is installed into .venv once, and
# again only when the lists of requirements change.
#
#   PYTHON=…          the Python to build .venv with
#   LEUK_CHROMIUM=…   the Chromium (or Chrome) for the browser tests
#   ARGS=…            passed on: make app ARGS="--server.port 8600", make test ARGS="-k image"

SHELL := /bin/sh
.SUFFIXES:
.DEFAULT_GOAL := help
.PHONY: help app test lint coverage chromium clean

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --quiet

help:
	@awk '!/^#/ { exit } { sub(/^# ?/, ""); print }' Makefile

app: $(VENV)/.runtime
	$(PY) -m streamlit run app.py $(ARGS)

test: lint chromium
	$(PY) -m pytest $(ARGS)

lint: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m mypy

coverage: $(VENV)/.dev chromium
	$(PY) -m pytest --cov $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .coverage htmlcov test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew if the Python behind it has gone; a Python that lacks venv's parts (Debian splits them off) is told apart from
# none at all.
$(VENV)/.made:
	@found=; broken=; \
	for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3 python; do \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1 || { broken="$$candidate"; continue; }; \
	  found="$$candidate"; break; \
	done; \
	if [ -z "$$found" ] && [ -n "$$broken" ]; then \
	  echo "$$broken can't make virtual environments: install its venv package (Debian, Ubuntu: sudo apt-get install python3-venv)." >&2; exit 1; \
	elif [ -z "$$found" ]; then \
	  echo "Leuk needs Python 3.11 or later, and none was found: install it (Debian, Ubuntu: sudo apt-get install python3 python3-venv; macOS: brew install python@3.11), or name it: make PYTHON=/path/to/python3.11." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV) && touch $@

$(VENV)/.runtime: requirements.txt $(VENV)/.made
	@echo "Installing what Leuk runs on (once; torch is large)"
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo "Installing what checks Leuk"
	$(PIP) -r requirements-dev.txt
	@touch $@

# The browser tests drive a real Chromium. It comes from the system's packages; only root is free to install those.
CHROMIUM_NAMES := chromium chromium-browser google-chrome google-chrome-stable
chromium:
	@if [ -n "$$LEUK_CHROMIUM" ]; then \
	  [ -x "$$LEUK_CHROMIUM" ] && exit 0; \
	  echo "LEUK_CHROMIUM names no program: $$LEUK_CHROMIUM" >&2; exit 1; \
	fi; \
	for name in $(CHROMIUM_NAMES); do command -v "$$name" >/dev/null 2>&1 && exit 0; done; \
	[ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ] && exit 0; \
	[ -x "/Applications/Chromium.app/Contents/MacOS/Chromium" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "Installing Chromium for the browser tests"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null && exit 0; \
	fi; \
	echo "The browser tests need Chromium: install it (Debian: sudo apt-get install chromium; Ubuntu: sudo apt-get install chromium-browser; Fedora: sudo dnf install chromium; macOS: brew install --cask chromium), or set LEUK_CHROMIUM to one." >&2; \
	exit 1
