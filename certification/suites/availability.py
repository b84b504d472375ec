"""Cases: availability."""
