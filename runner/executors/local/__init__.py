"""Runs native tasks on this host, by way of the keeper."""

from runner.executors.local.executor import LocalExecutor as LocalExecutor
