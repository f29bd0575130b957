"""Texts to token sequences: prompt and response tokenised apart, joined, cut from the left."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from workflow_scripts.errors import UserError


@dataclass(frozen=True)
class TokenSequences:
    """Token sequences of various lengths as windows of one flat array.

    Attributes:
        tokens: the token ids of all sequences, ``[tokens]``.
        starts: where each sequence begins in ``tokens``, ``[sequences]``.
        lengths: its number of tokens, ``[sequences]``.
        response_starts: the index, within the sequence, of the first token that is scored,
            ``[sequences]``. Never 0: nothing predicts the first token of a sequence.
    """

    tokens: NDArray[np.integer]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    response_starts: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.starts)

    def padded(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Return the sequences ``rows`` as right-padded tensors, each ``[rows, longest]``.

        ``input_ids`` int64, ``attention_mask`` int64 (1 at real tokens) and ``response_mask`` bool
        (true at the response tokens, which are those that are scored). What follows a sequence is
        masked, so that any token will do there; some models have none of their own for it.
        """
        lengths = self.lengths[rows, None]
        positions = np.arange(lengths.max())
        real = positions < lengths
        tokens = self.tokens[np.where(real, self.starts[rows, None] + positions, 0)]
        return {
            "input_ids": torch.from_numpy(np.where(real, tokens, 0).astype(np.int64)),
            "attention_mask": torch.from_numpy(real.astype(np.int64)),
            "response_mask": torch.from_numpy(
                real & (positions >= self.response_starts[rows, None])
            ),
        }


def tokenise(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[str],
    prompts: Sequence[str],
    columns: Sequence[Sequence[str]],
    max_length: int,
    *,
    bos_in_response: bool = False,
) -> TokenSequences:
    """Tokenise the responses of each of ``columns`` after their ``prompts``.

    Sequence ``k * len(prompts) + i`` is prompt i followed by response i of column k. The prompt
    gets what the tokenizer puts before a text (BOS, for tokenizers that have it), the response
    nothing, and no EOS is appended. A sequence keeps its last ``max_length`` tokens: the prompt
    goes first, BOS included; only a response longer than ``max_length`` loses tokens, its first.
    A response token that nothing precedes is not scored.

    Args:
        tokenizer: a fast tokenizer.
        ids: names of the pairs, for messages.
        prompts: one prompt a pair.
        columns: responses, each column one response a pair.
        max_length: tokens of prompt and response together.
        bos_in_response: put before the response, too, what the tokenizer puts before a text, and
            score it, as the reference does for OPT and Mistral.

    Raises:
        UserError: if the tokenizer does not know its vocabulary, or a response has no token that
            could be scored.
    """
    check_tokenizer(tokenizer, columns[0][0])
    prefix = _prefix(tokenizer)
    encoded_prompts = [prefix + tokens for tokens in _encode(tokenizer, prompts)]
    pieces: list[list[int]] = []
    response_starts: list[int] = []
    for column in columns:
        for id_, prompt, response in zip(
            ids, encoded_prompts, _encode(tokenizer, column), strict=True
        ):
            scored = prefix + response if bos_in_response else response
            kept = (prompt + scored)[-max_length:]
            response_start = max(1, len(kept) - len(scored))
            if not response or response_start >= len(kept):
                raise UserError(
                    f"pair {id_}: a response has no token to score; drop the pair, or raise "
                    f"max_length {max_length}"
                )
            pieces.append(kept)
            response_starts.append(response_start)
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    return TokenSequences(
        tokens=np.fromiter((token for piece in pieces for token in piece), np.int32, lengths.sum()),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        response_starts=np.array(response_starts, dtype=np.int64),
    )


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, sentence: str) -> None:
    """Check that ``tokenizer`` really knows its vocabulary, by encoding and decoding ``sentence``.

    Some tokenizers of transformers 5, given files they do not expect, load with a single token and
    without a word.

    Raises:
        UserError: naming the tokenizer's folder.
    """
    tokens = _encode(tokenizer, [sentence])[0]
    unknown = sum(token == tokenizer.unk_token_id for token in tokens)
    decoded = str(tokenizer.decode(tokens))
    faithful = unknown > 0 or _letters(decoded) == _letters(sentence)
    if 2 * unknown >= len(tokens) or not faithful:
        raise UserError(
            f"{tokenizer.name_or_path}: the tokenizer, of {len(tokenizer)} tokens, turns "
            f"{sentence[:60]!r} into {decoded[:60]!r}; its files are incomplete or another model's"
        )


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    encoding = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return encoding["input_ids"]


def _prefix(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that the tokenizer puts before a text."""
    bare = _encode(tokenizer, ["a"])[0]
    full: list[int] = tokenizer("a", add_special_tokens=True)["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start]
    return []


def _letters(text: str) -> str:
    """Return ``text`` without what tokenizers may change: spacing, case and composition."""
    return "".join(unicodedata.normalize("NFKC", text).split()).casefold()
