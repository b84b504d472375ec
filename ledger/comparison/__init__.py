"""Two streams of one database held to each other: see `ledger.comparison.comparing`."""
