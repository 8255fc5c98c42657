"""Reading from a server: the same questions and the same typed answers as from a file."""
