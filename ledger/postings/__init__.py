"""Double entry: postings booked from the event stream, balances, and the checker of invariants."""
