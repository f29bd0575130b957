"""Reliability of confidences: how often is a model right at each of its confidences?"""

from typing import Any

import numpy as np

from workflow_scripts.measures.statistic import Array

EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Bins of the confidence in the response a model prefers; the last bin includes 1."""


def reliability(confidence: Array, correct: Array) -> list[dict[str, Any]]:
    """Return each bin that has pairs: their number, mean confidence and share right.

    Args:
        confidence: probability given to the true choice, shape (pairs,).
        correct: probability of choosing rightly, where a tie is half, shape (pairs,).
    """
    in_choice = np.maximum(confidence, 1 - confidence)
    bins = np.clip(np.searchsorted(EDGES, in_choice, side="right") - 1, 0, len(EDGES) - 2)
    found = []
    for place in np.unique(bins):
        inside = bins == place
        found.append(
            {
                "low": EDGES[place],
                "high": EDGES[place + 1],
                "pairs": int(inside.sum()),
                "confidence": float(in_choice[inside].mean()),
                "correct": float(correct[inside].mean()),
            }
        )
    return found
