"""The embedded engine: history.db."""
