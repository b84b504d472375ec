"""Cases: sessions."""
