"""Truth and belief: the steps of a strategy and the one loop that folds them."""
