"""Cases: reversals."""
