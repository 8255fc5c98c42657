"""Where the history is safe."""
