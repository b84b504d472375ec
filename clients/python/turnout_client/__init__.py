"""A merchant's client of a Turnout server. It imports nothing of the server."""
