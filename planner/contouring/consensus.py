"""The consensus of several observers by STAPLE."""

from collections.abc import Sequence

import numpy as np
import SimpleITK

from planner.contouring.itk import image_of, single


def staple(masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return sensitivity and specificity of each observer against the consensus that they themselves suggest.

    Warfield 2004 (IEEE Trans Med Imaging 23:903), as SimpleITK has it.

    Parameters
    ----------
    masks : sequence of ndarray, shape (nx, ny, nz)
        1 where an observer drew, else 0. Specificity depends on how much of the array nobody drew.

    Returns
    -------
    sensitivity, specificity : ndarray, shape (observers,)
    """
    joining = single(SimpleITK.STAPLEImageFilter())
    joining.SetForegroundValue(1.0)
    joining.SetMaximumIterations(100)
    joining.Execute([image_of(mask.astype(np.uint8), (1.0, 1.0, 1.0)) for mask in masks])
    return np.asarray(joining.GetSensitivity()), np.asarray(joining.GetSpecificity())
