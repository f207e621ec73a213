"""The command `env-runner`: one file for each group of commands.

Nothing is decided here: client commands ask a daemon, `serve` and `run` are put together by
`runner.app`. Modules of commands are imported when their command is given, and no sooner.
"""
