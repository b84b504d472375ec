"""The card network's side: hosts, issuers, test cards."""
