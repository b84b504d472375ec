"""The merchant's side: HTTP in front, the switch and the HSM behind it."""
