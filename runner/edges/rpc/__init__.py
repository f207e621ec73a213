"""The gRPC edge: `supervisor.v1.Supervisor`, health and reflection."""
