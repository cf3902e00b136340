"""The words of a treatment: errors, geometry, beams, machines, prescriptions, plans, doses. No verbs, no files."""
