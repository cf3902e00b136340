"""Studies: specification, cases, execution, store, comparison."""
