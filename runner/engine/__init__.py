"""Where tasks live while the daemon does: events in, journal, effects out. asyncio is here.

Edges speak to `service.Engine` alone. What a task's events mean is `runner.domain.lifecycle`.
"""
