"""Score pairs with a frozen model: what predictions, weak labels and reference models share."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from workflow_scripts.config.stage_settings import ReadoutSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_table
from workflow_scripts.core.progress import Progress
from workflow_scripts.data.pairs import Pairs, reference_margins
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.readout import Readout
from workflow_scripts.methods.scenarios.registry import scenario_class
from workflow_scripts.models import checkpoints
from workflow_scripts.models.frozen_features import HeadScorer, read_features
from workflow_scripts.models.scorer import PairScorer, low_precision, shares_prompts
from workflow_scripts.models.tokenise import TokenSequences, members, one_a_row, tokenise
from workflow_scripts.runtime import meeting, ranks


def score_pairs(
    folder: str,
    pairs: Pairs,
    readout: Readout,
    compat: Compat,
    *,
    max_length: int,
    micro_batch: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores of the chosen and of the rejected texts, ``[pairs]`` each.

    Args:
        folder: a trained model.
        pairs: what to score; their labels are not looked at.
        readout: what a score is.
        compat: whether BOS stands inside a response.
        max_length: tokens of prompt and response together.
        micro_batch: pairs of that length in one forward; more of shorter ones.

    Raises:
        UserError: if the model cannot be opened or gives a score that is not finite.
    """
    sequences = tokenised(folder, pairs, compat, max_length)
    model = checkpoints.load_trained(folder, readout)
    checkpoints.check_positions(model, sequences)
    scorer = PairScorer(model, readout, low_precision=low_precision(compat))
    scores = in_batches(scorer, sequences, 2 * micro_batch * max_length)
    check_finite(scores, pairs.ids, folder)
    return scores[: len(pairs)], scores[len(pairs) :]


def margins(
    settings: ReadoutSettings,
    model: str,
    pairs: Pairs,
    *,
    reference: str | None,
    features: str | None,
    micro_batch: int,
) -> NDArray[np.float64]:
    """Return a trained model's margins on ``pairs``, ``[pairs]``.

    Args:
        settings: how they are read out.
        model: the trained model's folder.
        pairs: what to score.
        reference: file of the reference model's log-probabilities, None where there is none.
        features: file of the pairs' features, which saves a linear probe's backbone.
        micro_batch: pairs in one forward.

    Raises:
        UserError: as ``score_pairs``, and if the reference model is needed and missing.
    """
    scenario = scenario_class(settings.objective)
    relative = scenario.is_relative(settings.compat)
    if relative and reference is None:
        raise UserError(
            f"objective {settings.objective}: needs the frozen model's log-probabilities; "
            "give --reference"
        )
    if features:
        return _margins_of_features(model, features, pairs)
    chosen, rejected = score_pairs(
        model,
        pairs,
        scenario.readout(settings.compat),
        settings.compat,
        max_length=settings.max_length,
        micro_batch=micro_batch,
    )
    if relative and reference is not None:
        return chosen - rejected - reference_margins(reference, pairs.ids)
    return chosen - rejected


def _margins_of_features(folder: str, path: str, pairs: Pairs) -> NDArray[np.float64]:
    """Return a linear probe's margins from features that its frozen backbone gave before."""
    head = HeadScorer(checkpoints.load_trained(folder, Readout.REWARD))
    features = read_features([path], pairs.ids)
    with torch.inference_mode():
        scores = head(torch.from_numpy(features.values)).double().numpy()
    check_finite(scores, pairs.ids, folder)
    return scores[: len(pairs)] - scores[len(pairs) :]


def tokenised(folder: str, pairs: Pairs, compat: Compat, max_length: int) -> TokenSequences:
    """Return the tokens of all chosen, then of all rejected texts, by the model's tokenizer."""
    return tokenise(
        checkpoints.load_tokenizer(folder),
        pairs.ids,
        pairs.prompts,
        [pairs.chosen, pairs.rejected],
        max_length,
        bos_in_response=compat.bos_in_response == "reference",
    )


def check_finite(scores: NDArray[np.float64], ids: Sequence[str], folder: str) -> None:
    """Check that ``scores``, ``[2 pairs]`` or ``[2 pairs, width]``, are finite numbers.

    Raises:
        UserError: naming a pair where they are not.
    """
    if not np.isfinite(scores).all():
        bad = ids[int(np.argwhere(~np.isfinite(scores))[0, 0]) % len(ids)]
        raise UserError(f"{folder}: the score of pair {bad} is not finite; train the model again")


def write(path: str, pairs: Pairs, columns: Mapping[str, object]) -> None:
    """Write a table of one row a pair, in the pairs' order; of several ranks the first one does.

    Args:
        path: the file.
        pairs: what was scored; their ids are the first column.
        columns: the others by name, ``[pairs]`` each.
    """
    if ranks.is_first():
        write_table(path, pa.table({"id": pairs.ids, **columns}))


def in_batches(
    scorer: PairScorer, sequences: TokenSequences, tokens_at_once: int
) -> NDArray[np.float64]:
    """Return what ``scorer`` gives for each sequence, ``[sequences]`` or ``[sequences, width]``.

    A batch has at most ``tokens_at_once`` tokens, padding included. Several ranks share the batches
    out, and each returns all scores.

    Args:
        scorer: the model.
        sequences: of all chosen, then of all rejected texts.
        tokens_at_once: what fits the memory.
    """
    device = meeting.join()
    on_gpu = device.type == "cuda"
    scorer = scorer.to(device).eval()
    rows = members(len(sequences), len(sequences) // 2)
    if not shares_prompts(scorer.model, int(sequences.lengths.max())):
        rows = one_a_row(rows)
    lengths = sequences.row_lengths(rows)
    batches = _batches(lengths, tokens_at_once)
    shares = meeting.shares([int(lengths[places].sum()) for places in batches])
    own = [rows[batches[place]] for place in shares[ranks.number()]]
    given: list[torch.Tensor] = []
    name = str(scorer.model.config.name_or_path).removeprefix("results/")
    texts = sum(of_batch.size for of_batch in own)
    progress = Progress(f"scoring by {name}", texts, "texts") if ranks.is_first() else None
    done = 0
    try:
        with torch.inference_mode(), ranks.apart():
            for of_batch in own:
                batch = sequences.padded(of_batch)
                if on_gpu:
                    # Copied without waiting, so that the next batch is laid out meanwhile.
                    batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
                there = {n: tensor.to(device, non_blocking=True) for n, tensor in batch.items()}
                given.append(scorer(**there).double())
                done += of_batch.size
                if progress is not None:
                    progress.reach(done)
            scores = torch.cat(given).cpu().numpy() if given else None
    finally:
        if progress is not None:
            progress.close()
    scores = meeting.put_together(scores)
    scored = np.concatenate([rows[batches[place]].T.ravel() for place in chain(*shares)])
    return scores[np.argsort(scored)]


def _batches(lengths: NDArray[np.int64], tokens_at_once: int) -> list[NDArray[np.int64]]:
    """Cut all rows, longest first, into batches of at most so many tokens, padding included.

    The longest come first so that a batch which does not fit the memory fails at once.
    """
    by_length = np.argsort(-lengths, kind="stable")
    batches, begin = [], 0
    while begin < len(by_length):
        size = max(1, tokens_at_once // int(lengths[by_length[begin]]))
        batches.append(by_length[begin : begin + size])
        begin += size
    return batches
