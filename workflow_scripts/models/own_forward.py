"""Whether a model gives the scores of its own forward, found out when it is taken in.

Scores are read out of the hidden states, with the prompt of a pair once (``scorer``). A family that
changes what its head gives, say by a scale or a cap, would be misread without a word, so one pair
is scored in both ways.
"""

import json
import logging
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import checkpoints
from workflow_scripts.models.scorer import OWN_FORWARD, PairScorer, shares_prompts
from workflow_scripts.models.tokenise import TokenSequences, members, one_a_row

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""How far a score may be from that of the model's own forward, in float32."""
_LONGEST = 64
_SPREAD = 3.0
"""How far apart logits are at least: on an untrained model's small ones a cap does not show."""


def settle(folder: Path, origin: str) -> None:
    """Score a pair in both ways; where they differ have the model's own forward used from now on.

    That is written to config.json, which every checkpoint of the model keeps. A layer of each kind
    is enough to tell, so that a large model is not read whole.

    Args:
        folder: in the hub's format.
        origin: what messages call the model.

    Raises:
        UserError: if it cannot be opened with both heads, or neither way gives its own scores.
    """
    for readout in (Readout.MEAN_LOG_PROBABILITY, Readout.REWARD):
        torch.manual_seed(0)
        try:
            model = checkpoints.load_first_layers(folder, readout).eval()
        except UserError as error:
            raise UserError(str(error).replace(str(folder), origin)) from error
        sequences = _pair(folder, model)
        _spread_logits(model, readout, sequences)
        if _agrees(model, readout, sequences):
            continue
        setattr(model.config, OWN_FORWARD, True)
        if not _agrees(model, readout, sequences):
            raise UserError(
                f"{origin}: a pair's {readout.value} is not what the model's own forward gives, in "
                f"any way that texts of {model.config.model_type} can be scored here; name another "
                "model"
            )
        _record(folder)
        logger.info("%s: scored by its own forward, which changes what its head gives", origin)


def _pair(folder: Path, model: PreTrainedModel) -> TokenSequences:
    """Return a pair of ordinary tokens, the longer text as long as the model's positions allow."""
    tokenizer = checkpoints.load_tokenizer(folder)
    special = {*tokenizer.all_special_ids, model.config.pad_token_id}
    ordinary = [token for token in range(len(tokenizer)) if token not in special]
    longest = min(_LONGEST, getattr(model.config, "max_position_embeddings", None) or _LONGEST)
    prompt = longest // 2
    lengths = np.array([longest, prompt + (longest - prompt + 1) // 2])
    draw = np.random.default_rng(0).choice
    shared = draw(ordinary, prompt)
    texts = [np.concatenate([shared, draw(ordinary, length - prompt)]) for length in lengths]
    return TokenSequences(
        tokens=np.concatenate(texts),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        response_starts=np.array([prompt, prompt]),
    )


def _spread_logits(model: PreTrainedModel, readout: Readout, sequences: TokenSequences) -> None:
    """Have a language model's head give logits as far apart as those of a trained model."""
    if readout.is_reward:
        return
    with torch.inference_mode():
        spread = float(_own_logits(model, sequences, 0).std())
        cast(nn.Linear, model.get_output_embeddings()).weight.mul_(max(1.0, _SPREAD / spread))


def _agrees(model: PreTrainedModel, readout: Readout, sequences: TokenSequences) -> bool:
    """Return whether both texts of a pair are scored here as by the model's own forward."""
    pair = members(2, 1)
    if not shares_prompts(model, int(sequences.lengths.max())):
        pair = one_a_row(pair)
    with torch.inference_mode():
        own = torch.stack([_own_score(model, readout, sequences, text) for text in (0, 1)])
        here = PairScorer(model, readout)(**sequences.padded(pair))
    return bool((here - own).abs().max() <= TOLERANCE)


def _own_score(
    model: PreTrainedModel, readout: Readout, sequences: TokenSequences, text: int
) -> Tensor:
    logits = _own_logits(model, sequences, text)
    if readout.is_reward:
        return logits.squeeze()
    start = int(sequences.response_starts[text])
    targets = _tokens(sequences, text)[start:]
    return logits[start - 1 : -1].log_softmax(-1).gather(1, targets[:, None]).mean()


def _own_logits(model: PreTrainedModel, sequences: TokenSequences, text: int) -> Tensor:
    """Return what the model itself gives for a text, ``[tokens, vocabulary]`` or ``[1]``."""
    return model(input_ids=_tokens(sequences, text)[None], use_cache=False).logits[0].float()


def _tokens(sequences: TokenSequences, text: int) -> Tensor:
    start, length = sequences.starts[text], sequences.lengths[text]
    return torch.from_numpy(sequences.tokens[start : start + length])


def _record(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config[OWN_FORWARD] = True
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
