"""The journal in SQLite: WAL, synchronous FULL, one writing thread, one reading thread.

`opening.py` finds or makes the file, `schema.py` says what is in it, `codec.py` how a task is
spelled; `writes.py` and `reads.py` are the statements, `writer.py` the thread that commits.
"""
