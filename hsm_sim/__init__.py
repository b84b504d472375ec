"""The only process that holds private keys."""
