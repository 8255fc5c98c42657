"""The hand-off: how a step leaves the agent's process without being lost."""
