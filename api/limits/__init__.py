"""How much one sender may ask: rates by address, key and merchant."""
