"""The guard in front of every route: who is it, is it from here, and is it too much."""
