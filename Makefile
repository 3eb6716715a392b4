# Bare `make` lists the commands. Each one first sets up what it needs: see deploy/.

PYTHON ?= python3
.DEFAULT_GOAL := help
.NOTPARALLEL:

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: ## the site on http://127.0.0.1:8000 (PORT=, HOST=, WORKERS=, DATABASE_URL=, REDIS_URL=)
test: ## all tests, on SQLite and, where they can be had, Postgres, Redis and Chromium
check: ## everything but tests: format, lint, types, layers, migrations, templates, translations, docs
fix: ## mend format and lint as far as a tool can
bench: ## what the gateway costs, beside nginx and the floor (ARGS="plain streams")
prove: ## the promises of docs/operating.md at their full counts
clean: ## remove what the set-up and the tools made; var/ stays

run test check fix bench prove clean:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: apt-get install python3 python3-venv"; exit 1; }
	@exec $(PYTHON) -m deploy $@

.PHONY: help run test check fix bench prove clean
