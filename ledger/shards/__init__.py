"""Merchants over shards: buckets, who owns them, and how they move."""
