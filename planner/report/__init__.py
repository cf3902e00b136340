"""The report of a study: pictures and words, from the store alone."""

from planner.report.page import write_report

__all__ = ["write_report"]
