"""Published medians that stand beside ours: for comparison, never asserted."""

from planner import library
from planner.treatment.constant import Constant, Frozen


class PublishedMedian(Frozen):
    """One median of one arm of a paper.

    Attributes
    ----------
    key : str
        ``structure.metric`` of ours that it compares with.
    strategy : str
        Arm of ours that it compares with.
    arm, unit : str
        The paper's arm in words.
    median : Constant of float
    """

    key: str
    strategy: str
    arm: str
    unit: str
    median: Constant[float]


class PublishedStudy(Frozen):
    """A paper, as a library file ``outcomes/comparison-*.toml``.

    Attributes
    ----------
    name, citation, short : str
    patients : int
    confidence : str
        How sure its figures are, in words; shown with them.
    medians : tuple of PublishedMedian
    """

    name: str
    citation: str
    short: str
    patients: int
    confidence: str
    medians: tuple[PublishedMedian, ...]


def published_studies() -> tuple[PublishedStudy, ...]:
    """Return all papers to compare with.

    Raises
    ------
    InputError
        If a file does not fit the model.
    """
    found = [name for name in library.names("outcomes") if name.startswith("comparison-")]
    return tuple(library.load("outcomes", name, PublishedStudy) for name in found)
