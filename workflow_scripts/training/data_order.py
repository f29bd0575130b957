"""Which examples each step trains on."""

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.core import seeds
from workflow_scripts.core.errors import UserError


def ordered(
    how: str,
    lengths: NDArray[np.int64],
    *,
    batch_size: int,
    epochs: int,
    seed: str,
    per_epoch: int | None = None,
) -> NDArray[np.int64]:
    """Return the examples of every step's batch, ``[steps, batch]``.

    They are `shuffled`, as in `file`, or `shuffled_once`: in one order for all epochs, which then
    follow one another as by ``as_in_file``. That order is what ``datasets.Dataset.shuffle`` gives
    for the number of the cell's seed, as the authors' code calls it.

    Raises:
        UserError: as ``shuffled``.
    """
    if how == "shuffled_once":
        once = np.random.default_rng(seeds.number(seed)).permutation(len(lengths))
        steps = as_in_file(lengths[once], batch_size=batch_size, epochs=epochs, per_epoch=per_epoch)
        return once[steps]
    if how == "file":
        return as_in_file(lengths, batch_size=batch_size, epochs=epochs, per_epoch=per_epoch)
    return shuffled(lengths, batch_size=batch_size, epochs=epochs, seed=seed, per_epoch=per_epoch)


def shuffled(
    lengths: NDArray[np.int64],
    *,
    batch_size: int,
    epochs: int,
    seed: str,
    per_epoch: int | None = None,
) -> NDArray[np.int64]:
    """Return the examples of every step's batch over all epochs, ``[steps, batch]``.

    Each epoch is the beginning of a permutation of its own, cut into batches; its incomplete last
    one is dropped. Inside a batch examples are sorted by length, so that micro-batches hold little
    padding: the mean over the batch does not depend on it.

    Args:
        lengths: tokens of each example, ``[examples]``.
        batch_size: examples a step.
        epochs: passes over the examples.
        seed: the run's name.
        per_epoch: examples an epoch, all unless given.

    Raises:
        UserError: if an epoch has fewer examples than a batch needs.
    """
    per_epoch = _capped(per_epoch, len(lengths))
    whole = per_epoch // batch_size * batch_size
    _check_batches(per_epoch, whole, batch_size)
    permutations = [
        seeds.generator(f"{seed}/epoch{epoch}").permutation(len(lengths))[:whole]
        for epoch in range(epochs)
    ]
    return _by_length(np.concatenate(permutations).reshape(-1, batch_size), lengths)


def as_in_file(
    lengths: NDArray[np.int64], *, batch_size: int, epochs: int, per_epoch: int | None = None
) -> NDArray[np.int64]:
    """Return the examples of every step's batch in the file's own order, ``[steps, batch]``.

    All epochs are alike and follow one another without a gap, as in the authors' code: a batch may
    hold the end of one and the beginning of the next, and only the very last, where incomplete,
    is dropped. Inside a batch examples are sorted as by ``shuffled``.

    Args:
        lengths: tokens of each example, ``[examples]``.
        batch_size: examples a step.
        epochs: passes over the examples.
        per_epoch: examples an epoch, the file's first ones; all unless given.

    Raises:
        UserError: if there are fewer examples than a batch needs.
    """
    per_epoch = _capped(per_epoch, len(lengths))
    whole = per_epoch * epochs // batch_size * batch_size
    _check_batches(per_epoch, whole, batch_size)
    return _by_length((np.arange(whole) % per_epoch).reshape(-1, batch_size), lengths)


def _capped(per_epoch: int | None, examples: int) -> int:
    return examples if per_epoch is None else min(per_epoch, examples)


def _check_batches(examples: int, used: int, batch_size: int) -> None:
    if not used:
        raise UserError(f"{examples} pairs do not fill one batch of {batch_size}; use more pairs")


def _by_length(order: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    by_length = np.argsort(lengths[order], axis=1, kind="stable")
    return np.take_along_axis(order, by_length, axis=1)
