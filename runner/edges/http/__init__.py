"""HTTP: health, readiness, metrics, and tasks' output by signed link."""
