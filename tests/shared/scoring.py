"""Scores by hand, from all that a model itself gives."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workflow_scripts.methods.readout import Readout
from workflow_scripts.models.tokenise import TokenSequences


def score_by_hand(
    model: PreTrainedModel, readout: Readout, sequences: TokenSequences, row: int
) -> Tensor:
    """Score one text from the model's own outputs at every position."""
    tokens = torch.tensor(sequences.tokens[sequences.starts[row] :][: sequences.lengths[row]])
    logits = model(input_ids=tokens[None].long()).logits[0].double()
    if readout.is_reward:
        return logits[0]
    log_probabilities = logits.log_softmax(-1)
    response = range(int(sequences.response_starts[row]), len(tokens))
    scores = torch.stack([log_probabilities[i - 1, tokens[i]] for i in response])
    if readout is Readout.SUMMED_LOG_PROBABILITY:
        return scores.sum()
    # Where a response fills all the length that there is, nothing predicts its first token.
    unscored = int(readout is Readout.MEAN_OVER_ALL_TOKENS and len(response) == 31)
    return scores.sum() / (len(response) + unscored)
