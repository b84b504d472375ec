"""The whole stack on one machine: which processes there are and how they are put together."""
