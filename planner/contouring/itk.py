"""Arrays to SimpleITK and back, for its filters; files stay in ``planner.io``."""

from typing import Any

import numpy as np
import SimpleITK


def image_of(array: np.ndarray, spacing_mm: tuple[float, float, float]) -> Any:
    """Return an array indexed ``[i, j, k]`` as a SimpleITK image, which numbers its axes the other way."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(spacing_mm)
    return image


def array_of(image: Any) -> np.ndarray:
    """Return the values of a SimpleITK image, indexed ``[i, j, k]``."""
    return np.ascontiguousarray(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0))


def single(filtering: Any) -> Any:
    """Return a filter that works on one thread: results must not depend on how many there are."""
    filtering.SetNumberOfThreads(1)
    filtering.SetNumberOfWorkUnits(1)
    return filtering
