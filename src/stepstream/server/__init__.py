"""The server: the live stream, the API, and the way in for agents on other machines."""
