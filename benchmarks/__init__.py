"""What we measure, and how: each benchmark is one module with one entry."""
