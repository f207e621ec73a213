"""Where secrets come from. The port is `runner.ports.Secrets`."""
