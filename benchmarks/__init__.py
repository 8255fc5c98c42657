"""The speed bars: what is promised in numbers, measured."""
