"""Full-text search: an index behind the log, in a file of its own, and what is asked of it."""
