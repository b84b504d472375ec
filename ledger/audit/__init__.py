"""The tamper-evident log: a Merkle tree over the event stream, signed, witnessed and provable."""
