# Each target is one line over the command-line program `chatrpc`, or over a tool.
# `make help` says what they do; `make lab` is where to begin.

PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: setup lab app worker test faults bench load stop help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup:  ## set everything up: .venv, packages, RabbitMQ
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11, 3.12 or 3.13 is needed: sudo apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -I chatrpc/bootstrap.py

lab: setup  ## open the notebooks, with a broker and a worker behind them
	@$(BIN)/chatrpc lab

app: setup  ## serve the chat on 127.0.0.1:5000, with a broker and a worker behind it
	@$(BIN)/chatrpc app

worker: setup  ## run one more worker, in the foreground
	@$(BIN)/chatrpc worker

test: setup  ## run every check: style, types, layers, tests, browser, notebooks
	@$(PYTHON) -I chatrpc/bootstrap.py test && $(BIN)/python tests/run.py

faults: setup  ## break things on purpose for half an hour, and see that every promise holds
	@$(BIN)/python tests/faults/run.py

bench: setup  ## measure what a call costs
	@$(BIN)/python benchmarks/bench.py

load: setup  ## thirty phones at once against the chat
	@$(BIN)/python benchmarks/load.py

stop:  ## end everything that was started: lab, app, workers, broker
	@if [ -x $(BIN)/chatrpc ]; then $(BIN)/chatrpc stop; else echo "Nothing was set up here, so nothing runs."; fi
