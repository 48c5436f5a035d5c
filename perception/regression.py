"""Linear regression: how it is fitted, and how good it is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def r2(told: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the variance that is explained: R2_k = 1 - sum_i (x_ik - m_ik)^2 / sum_i (x_ik - mean x_k)^2.

    Args:
        told: m, [n, numbers].
        true: x, NaN where it does not count.

    Returns:
        float64 [numbers]; NaN for what never changes.
    """
    known = ~np.isnan(true)
    truth = np.where(known, true, 0).astype(np.float64)
    count = np.maximum(known.sum(0), 1)
    errors = np.where(known, told - truth, 0).astype(np.float64)
    about = np.where(known, truth - truth.sum(0) / count, 0)
    left, all_of_it = np.square(errors).sum(0), np.square(about).sum(0)
    return np.where(all_of_it > 0, 1 - left / np.where(all_of_it > 0, all_of_it, 1), np.nan)


def ridge(features: NDArray[np.float64], numbers: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Fit w = (F'F + s n t I)^-1 F'x with F the features and a constant 1, no ridge on 1.

    t is the features' mean square about their means.

    Args:
        features: [n, d].
        numbers: [n], without gaps.
        strength: s.

    Returns:
        w, [d + 1]; the constant's comes last.
    """
    middle, mean = features.mean(0), numbers.mean()
    f, x = features - middle, numbers - mean
    gram = f.T @ f
    gram[np.diag_indices_from(gram)] += strength * len(f) * max(float(np.square(f).mean()), 1e-12)
    w = np.linalg.solve(gram, f.T @ x)
    return np.append(w, mean - middle @ w)
