"""A corpus in tokens: its documents, a tokenizer trained on them, and all of them packed."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.core.files import columns_of, read_table

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
UNKNOWN = "<|unknown|>"


def documents(file: str) -> list[str]:
    """Return the documents of a corpus, or both texts of every pair of a set.

    Raises:
        UserError: if the file is missing, or has neither a column of texts nor those of pairs.
    """
    if "text" in columns_of(file):
        return read_table(file, ["text"])["text"].to_pylist()
    pairs = read_table(file, ["prompt", "chosen", "rejected"]).to_pylist()
    return [pair["prompt"] + pair[side] for pair in pairs for side in ("chosen", "rejected")]


def trained(texts: list[str], kind: Literal["word", "bpe"], vocab_size: int) -> "Tokenizer":
    """Return a tokenizer of ``texts``.

    Args:
        texts: the documents.
        kind: ``word``, a token a word, or ``bpe``, byte-level byte-pair encoding.
        vocab_size: most tokens of a ``bpe`` vocabulary.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    match kind:
        case "word":
            # Ids by first appearance: a trainer would order words of equal count by chance.
            split = pre_tokenizers.Whitespace().pre_tokenize_str
            words = dict.fromkeys(word for text in texts for word, _ in split(text))
            vocabulary = {word: i for i, word in enumerate([END_OF_TEXT, UNKNOWN, *words])}
            tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
            tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
            tokenizer.add_special_tokens([END_OF_TEXT, UNKNOWN])
        case "bpe":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            tokenizer.train_from_iterator(
                texts,
                trainers.BpeTrainer(
                    vocab_size=vocab_size,
                    special_tokens=[END_OF_TEXT],
                    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                    show_progress=False,
                ),
            )
    return tokenizer


def in_hub_format(tokenizer: "Tokenizer") -> "PreTrainedTokenizerFast":
    """Return a tokenizer of `trained` as transformers saves it, with its special tokens named."""
    from transformers import PreTrainedTokenizerFast

    special = {"eos_token": END_OF_TEXT, "bos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    if tokenizer.token_to_id(UNKNOWN) is not None:
        special["unk_token"] = UNKNOWN
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def packed(tokenizer: "Tokenizer", texts: list[str]) -> NDArray[np.uint16 | np.uint32]:
    """Return all texts in tokens, each followed by the end-of-text token, shape (tokens,).

    That token's spelling within a text is text.
    """
    tokenizer.encode_special_tokens = True
    end = tokenizer.token_to_id(END_OF_TEXT)
    encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    width = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    return np.concatenate([np.array([*text.ids, end], dtype=width) for text in encoded])
