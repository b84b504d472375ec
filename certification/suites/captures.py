"""Cases: captures."""
