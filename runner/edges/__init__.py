"""Where foreign requests come in: each translates a protocol to the engine's words and back."""
