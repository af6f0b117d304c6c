# The same commands without make, as on Windows: py tools/dev.py lab, py tools/dev.py test ...
# ONLY chooses a lesson (make test ONLY=1_1a) or a benchmark (make bench ONLY=sim).
# ARGS goes to the tool behind a command: make lab ARGS=--no-browser, make test ARGS="-x tests/sim"
PYTHON := $(shell command -v python3 || command -v python)
DEV = $(if $(PYTHON),"$(PYTHON)",$(error $(NO_PYTHON))) tools/dev.py
define NO_PYTHON
no Python was found. Install Python 3.11 or newer: on Debian and Ubuntu "apt-get install python3 \
python3-venv", on macOS "brew install python", elsewhere from python.org
endef
CHOSEN = $(if $(ONLY),--only "$(ONLY)") $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup lab progress update reset test deep browser site bench notebooks lock

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: ## only set up .venv
	@$(DEV) setup

lab: ## set up, then open JupyterLab on the first lesson; ARGS=--originals for authors
	@$(DEV) lab $(ARGS)

progress: ## show the lessons and what you have passed
	@$(DEV) progress

update: ## take newer lessons into reading/ and keep your answers; ONLY=1_1a for one lesson
	@$(DEV) update $(ONLY)

reset: ## bring back as it was: ONLY=1_1a a lesson, ONLY=1.1a-2 an exercise
	@$(DEV) reset $(ONLY)

test: ## run everything that must be green; ONLY=1_1a for one lesson, ARGS=tests/sim for one folder
	@$(DEV) test $(CHOSEN)

deep: ## search anew and deeper; ONLY=1_1a, ARGS=--keep writes the failing runs that the tests repeat
	@$(DEV) deep $(CHOSEN)

browser: ## run the notebooks in a real JupyterLab in headless Chromium; ONLY=1_1a for one lesson
	@$(DEV) browser $(CHOSEN)

site: ## build the website of the course; ARGS=--open shows it in the browser
	@$(DEV) site $(ARGS)

bench: ## measure, and write data/results; ONLY=sim for one benchmark
	@$(DEV) bench $(CHOSEN)

notebooks: ## run notebooks in place and normalise them; ONLY=1_1a for one lesson
	@$(DEV) notebooks $(CHOSEN)

lock: ## write requirements.txt anew (needs uv); ARGS=--upgrade for newer versions
	@$(DEV) lock $(ARGS)
