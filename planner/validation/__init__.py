"""Commissioning of the engines: reference cases computed and compared, with tolerance, uncertainty and verdict."""
