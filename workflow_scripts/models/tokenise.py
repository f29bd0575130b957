"""Texts to token sequences: prompt and response tokenised apart, joined, cut from the left."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from workflow_scripts.core.errors import UserError
from workflow_scripts.models import chat
from workflow_scripts.models.rows import Rows


@dataclass(frozen=True)
class TokenSequences:
    """Token sequences of various lengths as windows of one flat array.

    Attributes:
        tokens: the token ids of all sequences, ``[tokens]``.
        starts: where each sequence begins in ``tokens``, ``[sequences]``.
        lengths: its number of tokens, ``[sequences]``.
        response_starts: the index, within the sequence, of the first token that is scored,
            ``[sequences]``. Never 0: nothing predicts the first token of a sequence.
        unscored: how many of the response's tokens are not scored, 0 or 1, ``[sequences]``; None
            where that is not known.
    """

    tokens: NDArray[np.integer]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    response_starts: NDArray[np.int64]
    unscored: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.starts)

    def row_lengths(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many tokens each row of ``padded`` has without its padding, ``[rows]``."""
        return self.lengths[members].sum(1) - (members.shape[1] - 1) * self._shared(members)

    def padded(self, members: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Return the tensors of ``Rows``, by name, without those of packing.

        Args:
            members: the sequences of each row, all of one prompt, ``[rows, members]``. Where it was
                cut to different lengths they share nothing.
        """
        lengths, shared = self.lengths[members], self._shared(members)[:, None]
        ends = shared + np.cumsum(lengths - shared, axis=1)
        begins = ends - (lengths - shared)
        places = np.arange(ends[:, -1].max())[None]
        real = places < ends[:, -1:]
        # Which member a token is of: the first one, for what they share; padding is the last one's.
        member = np.minimum((places[:, :, None] >= ends[:, None]).sum(2), members.shape[1] - 1)

        def of_member(values: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.take_along_axis(values, member, axis=1)

        # No more than a model has, at padding too.
        positions = np.minimum(places - of_member(begins) + shared, lengths.max() - 1)
        tokens = self.tokens[np.where(real, of_member(self.starts[members]) + positions, 0)]
        parts = np.where(places < shared, 0, member + 1)
        scored = real & (positions >= of_member(self.response_starts[members]))
        rows = Rows(
            input_ids=torch.from_numpy(np.where(real, tokens, 0).astype(np.int64)),
            position_ids=torch.from_numpy(positions),
            part=torch.from_numpy(np.where(real, parts, -1)),
            response_mask=torch.from_numpy(scored),
            scored=torch.from_numpy(np.flatnonzero(scored)),
            last=torch.from_numpy(ends - 1),
            unscored=None if self.unscored is None else torch.from_numpy(self.unscored[members]),
        )
        return {name: tensor for name, tensor in rows._asdict().items() if tensor is not None}

    def _shared(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many tokens the sequences of each row begin with in common, ``[rows]``.

        Of one prompt, equally many tokens are the same ones. But a response that nothing precedes
        begins to be scored at 1 as well, so that a prompt of one token is never shared.
        """
        starts = self.response_starts[members]
        alike = (starts == starts[:, :1]).all(1) & (starts[:, 0] > 1)
        return np.where(alike, starts[:, 0], 0)


def members(sequences: int, examples: int) -> NDArray[np.int64]:
    """Return the sequences of each example, ``[examples, columns]``, numbered by ``tokenise``."""
    return np.arange(sequences).reshape(-1, examples).T


def one_a_row(members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the same sequences, scored in the same order, each in a row of its own."""
    return members.T.reshape(-1, 1)


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

    The spelling of a special token in a text is text: byte-level BPE, BPE with byte fallback,
    WordPiece and word-level tokenizers of whole words cut it into ordinary tokens. Where a
    vocabulary spells a control token as a piece of text (Unigram), the pair is refused.

    A chat model whose entry asks for it gets its prompts in its own template (``chat``), which puts
    its own tokens before the text, and responses without the white space that they begin with.

    Args:
        tokenizer: a fast tokenizer.
        ids: names of the pairs, for messages.
        prompts: one prompt a pair.
        columns: responses, each column one response a pair.
        max_length: tokens of prompt and response together.
        bos_in_response: put before the response, too, what the tokenizer puts before a text, and
            score it, as the reference does for OPT and Mistral.

    Raises:
        UserError: if the tokenizer does not know its vocabulary, takes text for a control token, or
            a response has no token that could be scored.
    """
    check_tokenizer(tokenizer, columns[0][0])
    prefix = _prefix(tokenizer)
    if chat.is_used(tokenizer):
        encoded_prompts = _in_template(tokenizer, ids, prompts)
        columns = [[response.lstrip() for response in column] for column in columns]
    else:
        bare_prompts = _encode(tokenizer, prompts)
        _refuse_control_tokens(tokenizer, ids, bare_prompts)
        encoded_prompts = [prefix + tokens for tokens in bare_prompts]
    pieces: list[list[int]] = []
    response_starts: list[int] = []
    unscored: list[int] = []
    for column in columns:
        responses = _encode(tokenizer, column)
        _refuse_control_tokens(tokenizer, ids, responses)
        for id_, prompt, response in zip(ids, encoded_prompts, responses, strict=True):
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
            unscored.append(int(len(kept) <= len(scored)))
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    return TokenSequences(
        tokens=np.fromiter((token for piece in pieces for token in piece), np.int32, lengths.sum()),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        response_starts=np.array(response_starts, dtype=np.int64),
        unscored=np.array(unscored, dtype=np.int64),
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
        split_special_tokens=True,
        verbose=False,
    )
    return encoding["input_ids"]


def _in_template(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[str], prompts: Sequence[str]
) -> list[list[int]]:
    """Return the tokens of prompts in the tokenizer's chat template.

    Only in the template's own text is the spelling of a control token that token.
    """
    encoded = []
    for id_, prompt in zip(ids, prompts, strict=True):
        tokens: list[int] = []
        for text, is_template in chat.pieces(tokenizer, prompt):
            if is_template:
                tokens += tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
                continue
            (said,) = _encode(tokenizer, [text])
            _refuse_control_tokens(tokenizer, [id_], [said])
            tokens += said
        encoded.append(tokens)
    return encoded


def _refuse_control_tokens(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[str], texts: Sequence[Sequence[int]]
) -> None:
    control = {token for token in tokenizer.all_special_ids if token != tokenizer.unk_token_id}
    for id_, tokens in zip(ids, texts, strict=True):
        if not control.isdisjoint(tokens):
            found = tokenizer.convert_ids_to_tokens(min(control.intersection(tokens)))
            raise UserError(
                f"pair {id_}: {tokenizer.name_or_path} turns text into its control token {found}; "
                "drop the pair, or use another model"
            )


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
