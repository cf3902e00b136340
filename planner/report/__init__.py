"""Pictures and words, from the store only."""
