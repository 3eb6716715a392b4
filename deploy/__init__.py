"""What `make` runs: set-up, checks, tests. Only the standard library: it runs before anything is installed."""
