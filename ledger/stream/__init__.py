"""The event stream: what the relay appends to, and what every consumer reads from."""
