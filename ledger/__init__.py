"""Remembers everything: Postgres, the two commits, the lifecycle tables."""
