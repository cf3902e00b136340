"""Reports of studies and plans: pictures and words, from what is stored alone."""
