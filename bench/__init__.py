"""Measures what the runner costs; `make bench`. Nothing of it is installed."""
