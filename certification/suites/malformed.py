"""Cases: malformed."""
