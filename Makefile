# Every recipe is one line; what they do is in deploy/ and tests/.
PYTHON ?= .venv/bin/python
PYTEST ?= $(PYTHON) -m pytest -q
FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help install up down tree logs adopt test test-unit test-integration test-e2e test-kill test-long test-lab check bench protos clean

help: ## what there is to make
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

install: ## what is missing on this machine, and .venv
	@deploy/install

up: install ## start dockerd and all below it (FLAGS="…" are dockerd's), load busybox when there is no image
	@deploy/up $(FLAGS)

down: ## stop it gracefully, and look that nothing is left
	@deploy/down

tree: ## the process tree
	@deploy/tree

logs: ## follow the daemon's log
	@deploy/logs

adopt: install ## take over the images of Docker's own data root: FROM=/var/lib/docker, VOLUMES=1 its volumes too
	@$(PYTHON) -m deploy.adopt $(if $(VOLUMES),--volumes) $(FROM)

test: ## set up, then all tests
	@deploy/install --dev && $(PYTEST) tests

test-unit: ## pure parts
	@deploy/install --dev && $(PYTEST) tests/unit tests/contract

test-integration: ## neighbouring processes, and ctr
	@deploy/install --dev && $(PYTEST) tests/integration

test-e2e: ## the real clients; ENGINE=reference runs the same against Debian's docker.io
	@deploy/install --dev && $(PYTEST) tests/e2e

test-kill: ## the crash matrix
	@deploy/install --dev && $(PYTEST) tests/kill

test-long: ## the crash matrix at some 200 random moments, full disks at 40, 300 random images, bombs (SEED=… for others)
	@deploy/install --dev && LONG=1 $(PYTEST) tests/kill/test_store.py tests/kill/test_full.py tests/e2e/test_move.py tests/evil/test_trees.py tests/evil/test_bombs.py

test-lab: ## what this kernel lacks (cgroups v2, AppArmor, device-mapper), on Debian's kernel under qemu
	@deploy/install --dev && LAB=full $(PYTEST) tests/lab

check: ## ruff, mypy --strict, import borders, freshness of generated stubs
	@deploy/install --dev && .venv/bin/ruff check . && .venv/bin/mypy && $(PYTHON) -m tools.borders && $(PYTHON) -m tools.stubs --check

bench: ## side by side with Debian's docker.io (ONLY="run_rm start" for some), into docs/benchmarks.md
	@deploy/install --dev && $(PYTHON) -m bench $(ONLY) $(if $(ONLY),,--write)

protos: ## generate the Python of protos/
	@deploy/install --dev && $(PYTHON) -m tools.stubs

clean: ## remove .venv and caches
	@rm -rf .venv .lab .mypy_cache .ruff_cache .pytest_cache build *.egg-info
