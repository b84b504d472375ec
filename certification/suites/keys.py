"""Cases: keys."""
