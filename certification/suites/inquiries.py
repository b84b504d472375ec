"""Cases: inquiries."""
