"""Labelled preference pairs: by true labels, or by a weak model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_table


@dataclass(frozen=True)
class Pairs:
    """Preference pairs and their labels.

    Attributes:
        ids: names of the pairs.
        prompts: of each pair.
        chosen: the truly better responses.
        rejected: the truly worse responses.
        labels: the supervisor's probability that ``chosen`` is better, ``[pairs]``; true labels
            are 1.
    """

    ids: list[str]
    prompts: list[str]
    chosen: list[str]
    rejected: list[str]
    labels: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.ids)

    def __add__(self, other: "Pairs") -> "Pairs":
        """Return both sets of pairs, one after the other."""
        return Pairs(
            self.ids + other.ids,
            self.prompts + other.prompts,
            self.chosen + other.chosen,
            self.rejected + other.rejected,
            np.concatenate([self.labels, other.labels]),
        )

    def at(self, rows: NDArray[np.int64]) -> "Pairs":
        """Return the pairs at ``rows``, ``[chosen rows]``, in that order."""
        return Pairs(
            [self.ids[row] for row in rows],
            [self.prompts[row] for row in rows],
            [self.chosen[row] for row in rows],
            [self.rejected[row] for row in rows],
            self.labels[rows],
        )

    def interleaved(self, first: int) -> "Pairs":
        """Return the pairs with the ``first`` ones spread evenly among the others."""
        counts = (first, len(self) - first)
        places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
        return self.at(np.argsort(places, kind="stable"))

    def preferred(self) -> list[str]:
        """Return the response that each label prefers."""
        sides = zip(self.chosen, self.rejected, self.labels, strict=True)
        return [chosen if label > 0.5 else rejected for chosen, rejected, label in sides]


def read_pairs(path: str) -> Pairs:
    """Read pairs with their true labels.

    Raises:
        UserError: if the file is not a table of pairs, or is empty.
    """
    table = read_table(path, ["id", "prompt", "chosen", "rejected"]).to_pydict()
    if not table["id"]:
        raise UserError(f"{path}: holds no pairs")
    return Pairs(
        table["id"], table["prompt"], table["chosen"], table["rejected"], np.ones(len(table["id"]))
    )


def with_weak_labels(pairs: Pairs, paths: Sequence[str], *, soft: bool) -> Pairs:
    """Return ``pairs`` as weak models labelled them: by their mean probability, or by its choice.

    Args:
        pairs: to label.
        paths: files of labels, one a weak model.
        soft: take the probability.

    Raises:
        UserError: if a file lacks one of the pairs.
    """
    if soft:
        return replace(pairs, labels=_mean_probability(pairs, paths))
    if len(paths) == 1:
        return replace(pairs, labels=_aligned(paths[0], pairs.ids, ["label"])[0])
    chosen = _mean_probability(pairs, paths) > 0.5
    return replace(pairs, labels=chosen.astype(np.float64))


def _mean_probability(
    pairs: Pairs, paths: Sequence[str], scale: float | None = None
) -> NDArray[np.float64]:
    """Return the mean over weak models of the probability of the better response, ``[pairs]``.

    It is the labels' own, or sigmoid(scale * margin).
    """
    if scale is None:
        return np.mean([_aligned(path, pairs.ids, ["probability"])[0] for path in paths], axis=0)
    margins = np.array([_aligned(path, pairs.ids, ["margin"])[0] for path in paths])
    return np.mean((1 + np.tanh(scale * margins / 2)) / 2, axis=0)


def confident_rows(
    pairs: Pairs,
    paths: Sequence[str],
    threshold: float,
    *,
    peek: bool,
    scale: float | None = None,
) -> NDArray[np.int64]:
    """Return which of ``pairs`` the weak models, on average, labelled with confidence, ``[kept]``.

    Args:
        pairs: to choose from.
        paths: files of labels, one a weak model.
        threshold: as of ``high_confidence``.
        peek: as of ``high_confidence``.
        scale: of the margin in a confidence; None for the labels' own probability.

    Raises:
        UserError: if a file lacks one of the pairs, or no label is so sure.
    """
    probability = _mean_probability(pairs, paths, scale)
    kept = np.flatnonzero(high_confidence(probability, threshold, peek=peek))
    if not len(kept):
        surest = np.maximum(probability, 1 - probability).max()
        raise UserError(
            f"{', '.join(paths)}: no label reaches the filter's confidence {threshold:g}, the "
            f"surest has {surest:.3f}; lower the student's `filter`"
        )
    return kept


def high_confidence(
    probability: NDArray[np.float64], threshold: float, *, peek: bool
) -> NDArray[np.bool_]:
    """Return which weak labels are sure enough to train on, ``[pairs]``.

    Args:
        probability: given by the weak model to the truly better response, ``[pairs]``.
        threshold: least confidence max(p, 1 - p) in either response, at least 0.5.
        peek: take the confidence in the truly better response alone, which drops all wrong labels,
            as the authors' code does.
    """
    confidence = probability if peek else np.maximum(probability, 1 - probability)
    return confidence >= threshold


def reference_margins(path: str, ids: Sequence[str]) -> NDArray[np.float64]:
    """Return the reference model's log-probability of chosen minus rejected, ``[pairs]``.

    Raises:
        UserError: if ``path`` lacks one of the pairs.
    """
    chosen, rejected = _aligned(path, ids, ["chosen", "rejected"])
    return chosen - rejected


def _aligned(path: str, ids: Sequence[str], columns: list[str]) -> list[NDArray[np.float64]]:
    table = read_table(path, ["id", *columns])
    rows = rows_of(path, table["id"].to_pylist(), ids)
    return [table[column].to_numpy().astype(np.float64)[rows] for column in columns]


def rows_of(path: str, known: Sequence[str], ids: Sequence[str]) -> list[int]:
    """Return where each of ``ids`` stands among the ids ``known`` of a file's rows.

    Raises:
        UserError: naming ``path``, if one stands nowhere.
    """
    row_of = {id_: row for row, id_ in enumerate(known)}
    missing = [id_ for id_ in ids if id_ not in row_of]
    if missing:
        raise UserError(
            f"{path}: has no row for pair {missing[0]} ({len(missing)} of {len(ids)} are missing); "
            "delete it and run again"
        )
    return [row_of[id_] for id_ in ids]
