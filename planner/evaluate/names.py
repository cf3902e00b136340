"""Which metrics an evaluation can tell of which structure, without any dose: a study is checked against it."""

from collections.abc import Iterable, Mapping

from phantoms.structure import Role
from planner.evaluate import metrics
from planner.evaluate.plan_quality import DELIVERY_UNITS
from planner.evaluate.robustness import SETUP_UNITS
from planner.treatment.limits import Limits

_TARGETS = ("gtv", "ctv", "ptv")


def metric_names(
    structures: Mapping[str, Role], fractions: Iterable[int], *, apertures: bool = False
) -> dict[str, list[str]]:
    """Return the names of the metrics of each structure that `planner.evaluate.metrics.case_metrics` can tell.

    Parameters
    ----------
    structures : mapping of str to Role
        Structures that an anatomy may have on some day.
    fractions : iterable of int
        Numbers of fractions that may be prescribed: limits depend on them.
    apertures : bool
        Whether deliveries are measured as well: metrics of ``delivery``.
    """
    found: dict[str, list[str]] = {name: [*metrics.DOSE_NAMES, *metrics.TARGET_NAMES] for name in _TARGETS}
    found["gtv"] += SETUP_UNITS
    for name in metrics.TRUTHS:
        if name in structures:
            found[name] = [*metrics.DOSE_NAMES, *(_rims() if name in metrics.RIMMED else ())]
    if "air" in structures:
        found["air_rim"] = list(metrics.AIR_RIM_NAMES)
    rule = metrics.rules()
    organs = {n for n, role in structures.items() if role is Role.ORGAN and n not in metrics.BOUNDS}
    if "brain" in structures:
        organs.add("brain")
        levels = [f"V{level:g}_cc" for level in rule.brain_doses_gy.value]
        for name in ("brain", "brain_minus_target"):
            found.setdefault(name, []).extend(["volume_cc", *levels, "Dmean_gy"])
    if "external" in structures:
        organs.add("skin")
        found.setdefault("skin", []).append(f"V{rule.skin_dose_gy.value:g}_cc")
    for name in organs - set(metrics.NOT_ORGANS):
        found.setdefault(name, []).extend(["D0.03cc_gy", "Dmean_gy"])
    for limits in (metrics.limits_for(count) for count in set(fractions)):
        if limits is not None:
            _add_limits(found, limits, organs)
    if apertures:
        found["delivery"] = list(DELIVERY_UNITS)
    return {name: list(dict.fromkeys(known)) for name, known in found.items()}


def _rims() -> list[str]:
    margins = metrics.rules().rim_margins_mm.value
    return [name for margin in margins for name in metrics.rim_names(margin)]


def _add_limits(found: dict[str, list[str]], limits: Limits, organs: Iterable[str]) -> None:
    for limit in limits.limits:
        for name in set(limit.structures) & set(organs):
            found.setdefault(name, []).extend([metrics.limit_name(limit), "limits_violated"])
    found["all"] = ["limits_violated"]
