"""The keeper: the small process that is the parent of local tasks and outlives the daemon.

Standard library only, one thread. Whoever speaks to it needs `messages.py` and nothing else.
"""
