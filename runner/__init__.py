"""env-runner: the daemon that runs an orchestrator's tasks on one worker host.

Layers, each importing only what stands to its right (checked by import-linter):
cli > app > edges > engine | executors | storage | telemetry > ports > planning > domain.
"""

import os

# gRPC's own core writes to stderr whatever happens to a connection; it reads this as it loads.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__version__ = "0.1.0"
