"""What a delivery takes beside beam and motion, as data."""

from planner.treatment.constant import Constant, Frozen


class TimingRules(Frozen):
    """Pauses and the speed of the table.

    Attributes
    ----------
    name, title : str
    beam_start_s : Constant
        Before every beam.
    couch_speed_deg_s : Constant
    couch_kick_s : Constant
        After every turn of the table, beside the turn itself.
    segment_s : Constant
        Between two segments of a static field, beside the travel of the leaves.
    """

    name: str
    title: str
    beam_start_s: Constant[float]
    couch_speed_deg_s: Constant[float]
    couch_kick_s: Constant[float]
    segment_s: Constant[float]
