"""Cases: framings."""
