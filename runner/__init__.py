"""env-runner: the daemon that runs an orchestrator's tasks on one worker host.

Layers, each importing only what stands to its right (checked by import-linter):
cli > app > edges > engine | executors | storage | telemetry > ports > planning > domain.
"""

__version__ = "0.1.0"
