"""The supervisor protocol, as an orchestrator uses it: stubs and client."""
