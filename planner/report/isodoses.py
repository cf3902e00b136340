"""Lines of a dose, and colours of the organs that they are drawn over."""

from typing import Any

ORGAN_COLOURS = ("#8fb8de", "#c8a2d6", "#d9b48f", "#9fcdb4", "#d0a0a8", "#b4c08a", "#a9b0d9", "#c9c2a5")
ISODOSES = ((100.0, "#fff066"), (80.0, "#ff9d2e"), (50.0, "#4fd8ff"), (20.0, "#8c9bff"))
FIXED_GY = ((12.0, "#ff5fa8"),)  # V12 of the brain is what single-fraction necrosis is reported against


def isodoses(prescription_gy: float) -> list[dict[str, Any]]:
    """Return the isodose lines of a case, highest first: shares of the prescription, and doses that are told in Gy."""
    lines = [(p * prescription_gy / 100, f"{p:g} %", colour, f"p{p:g}") for p, colour in ISODOSES]
    for gy, colour in FIXED_GY:
        if all(abs(gy - other[0]) > 0.02 * prescription_gy for other in lines) and gy < prescription_gy:
            lines.append((gy, "", colour, f"g{gy:g}"))
    out = []
    for gy, share, colour, key in sorted(lines, reverse=True):
        short = f"{gy:.3g} Gy"
        label = f"{short} ({share})" if share else short
        out.append({"key": key, "gy": round(gy, 4), "short": short, "label": label, "colour": colour})
    return out
