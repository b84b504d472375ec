"""Cases: matching."""
