# Every target does its own set-up: on Debian or Ubuntu with Python 3.11 or newer, a clone and
# `make demo` or `make test` is all. Set up once, a target begins at once.

PYTHON_HERE := .venv/bin/python
# What the tests and checks use beside Python, commands and paths, each with its package.
TEST_COMMANDS := strace bwrap=bubblewrap promtool=prometheus setsid=util-linux ps=procps node=nodejs npm openssl zsh fish systemd-analyze=systemd \
	gcc /usr/include/stdio.h=libc6-dev dockerd=docker.io podman runc catatonit busybox=busybox-static newuidmap=uidmap \
	go=golang-go \
	/usr/share/gocode/src/google.golang.org/grpc=golang-google-grpc-dev
CHECK_COMMANDS := git node=nodejs npm
# Arguments for pytest: `make test TESTS="tests/unit -k ledger"`.
TESTS ?=
# One more than there are cores: half of what tests do is to wait.
WORKERS ?= $(shell expr $$(nproc) + 1)
# Arguments for the benchmarks: `make bench ARGS="round-trip --directory /srv"`.
ARGS ?=
# Where to leave pytest's exit code, for who needs it as it was (make has one of its own).
STATUS_FILE ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-vm bench check format lock protos docs clean

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

demo:  ## see it work: a daemon, real tasks, a kill -9 in the middle; under a minute
	@sh tools/setup.sh run
	@$(PYTHON_HERE) demo/demo.py

test:  ## the whole suite; TESTS="…" for a part of it
	@sh tools/setup.sh dev
	@sh tools/packages.sh $(TEST_COMMANDS)
	@sh tools/examples.sh node go
	@CI=true $(PYTHON_HERE) -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal $(TESTS); \
	status=$$?; [ -z "$(STATUS_FILE)" ] || { echo $$status > "$(STATUS_FILE)"; exit 0; }; exit $$status

test-vm:  ## the units in a throw-away Debian: systemd as PID 1, in qemu without KVM; 6 minutes
	@sh tools/test_vm.sh

bench:  ## what it costs, against bare baselines; ARGS="round-trip …" for some cases, under 5 minutes
	@sh tools/setup.sh dev
	@$(PYTHON_HERE) -m bench $(ARGS)

check:  ## everything that needs no test run: style, types, layers, the contract, the tree
	@sh tools/setup.sh dev
	@sh tools/packages.sh $(CHECK_COMMANDS)
	@sh tools/check.sh

format:  ## ruff's formatter and its safe fixes
	@sh tools/setup.sh dev
	@$(PYTHON_HERE) -m ruff format
	@$(PYTHON_HERE) -m ruff check --fix

lock:  ## requirements/ anew from pyproject.toml; UPGRADE=1 takes what is newest
	@sh tools/setup.sh dev
	@sh tools/lock.sh $(if $(UPGRADE),--upgrade)

protos:  ## the stubs in supervisor/v1 anew from protos/
	@sh tools/setup.sh dev
	@$(PYTHON_HERE) tools/protos.py

docs:  ## the generated parts of docs/ anew
	@sh tools/setup.sh dev
	@$(PYTHON_HERE) tools/docs.py
	@$(PYTHON_HERE) tools/man.py

clean:  ## all that can be made again
	@rm -rf .venv build dist *.egg-info tools/buf/node_modules docs/examples/node/node_modules
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
