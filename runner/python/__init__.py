"""What runs in the interpreters of tasks. Read as text, and imported by nobody here: it is for
other Pythons than the runner's own."""
