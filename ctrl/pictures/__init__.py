"""Pictures: what they share, the reward ledger, training curves, heat maps and the terminal."""
