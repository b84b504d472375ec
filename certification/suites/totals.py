"""Cases: totals."""
