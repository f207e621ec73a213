"""Runs calls of Python by an executor that knows of none."""
