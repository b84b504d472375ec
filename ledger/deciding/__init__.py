"""Locked decisions: everything that follows a charge, or happens without one."""
