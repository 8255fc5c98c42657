"""Where steps last: the committer and the engines it writes to."""
