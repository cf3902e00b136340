"""Dose engines behind one protocol."""
