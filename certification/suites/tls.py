"""Cases: tls."""
