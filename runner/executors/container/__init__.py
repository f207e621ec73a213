"""Runs tasks in containers on this host, by the Engine API of Docker or Podman.

Nothing here runs a command line, and nothing imports the client library before an engine's
socket is there.
"""
