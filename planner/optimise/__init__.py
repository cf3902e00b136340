"""Margins, objectives, fluence optimisation, and the making of a plan."""
