"""What the switch decides: pure functions over facts, `now` passed in, no I/O."""
