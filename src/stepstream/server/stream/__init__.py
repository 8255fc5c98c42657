"""The live stream: one ring of encoded steps, and clients that are an index into it."""
