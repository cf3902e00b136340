"""Which metrics lead the report, and what they mean."""

from planner.report.collect import Findings
from planner.report.naming import Definition, Naming

# What a physicist looks at first, in that order, after the endpoints that the study names itself.
LEADING = (
    "cavity.rim_coverage_percent",
    "cavity.rim_2mm_coverage_percent",
    "cavity.marginal_dose_gy",
    "residual.coverage_percent",
    "ptv.V100_percent",
    "ptv.D98_gy",
    "ptv.paddick_ci",
    "ptv.gradient_index",
    "brain_minus_target.V12_cc",
    "skin.V3_cc",
)


def naming_of(findings: Findings) -> Naming:
    """Return the names of all that was measured."""
    known: dict[str, Definition] = {}
    records = findings.records
    units = dict(zip(records["structure"] + "." + records["metric"], records["unit"].astype(str), strict=True))
    return Naming(known, units)


def key_metrics(findings: Findings) -> tuple[list[str], list[str]]:
    """Return the ``structure.metric`` keys that lead, and the others in the order in which they were recorded."""
    records = findings.records
    recorded = list(dict.fromkeys(records["structure"] + "." + records["metric"]))
    first = [key for key in dict.fromkeys([*findings.endpoints, *LEADING]) if key in recorded]
    return first or recorded[:10], [key for key in recorded if key not in (first or recorded[:10])]
