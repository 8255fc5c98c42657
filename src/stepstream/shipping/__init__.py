"""The way of steps to a server on another machine."""
