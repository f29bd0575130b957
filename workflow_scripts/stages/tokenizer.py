"""Stage ``tokenizer``: train a tokenizer on a corpus, and pack the corpus into tokens."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from workflow_scripts.core.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
UNKNOWN = "<|unknown|>"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument("--settings", type=json.loads, required=True, help="settings, as JSON")
    parser.add_argument(
        "--texts",
        required=True,
        nargs="+",
        help="Parquet files: a column `text` of documents, or the columns of a set of pairs",
    )
    parser.add_argument("--tokenizer", required=True, help="folder to write")
    parser.add_argument(
        "--tokens", required=True, help="NumPy file to write: all documents, joined"
    )


def run(args: argparse.Namespace) -> None:
    """Write the tokenizer, and the documents each followed by the end-of-text token.

    Raises:
        UserError: if a file is missing or lacks its columns, or the kind of tokenizer is unknown.
    """
    import numpy as np
    from transformers import PreTrainedTokenizerFast

    from workflow_scripts.core.atomic import atomic_path

    documents = [document for file in args.texts for document in _documents(file)]
    tokenizer = _trained(documents, args.settings)
    special = {"eos_token": END_OF_TEXT, "bos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    if args.settings["kind"] == "word":
        special["unk_token"] = UNKNOWN
    with atomic_path(args.tokenizer) as partial:
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(partial)

    end = tokenizer.token_to_id(END_OF_TEXT)
    encoded = tokenizer.encode_batch_fast(documents, add_special_tokens=False)
    width = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    tokens = np.concatenate([np.array([*document.ids, end], dtype=width) for document in encoded])
    with atomic_path(args.tokens) as partial, partial.open("wb") as file:
        np.save(file, tokens)


def _documents(file: str) -> list[str]:
    """Return the documents of a corpus, or both texts of every pair of a set."""
    from workflow_scripts.core.files import columns_of, read_table

    if "text" in columns_of(file):
        return read_table(file, ["text"])["text"].to_pylist()
    pairs = read_table(file, ["prompt", "chosen", "rejected"]).to_pylist()
    return [pair["prompt"] + pair[side] for pair in pairs for side in ("chosen", "rejected")]


def _trained(documents: list[str], settings: dict[str, Any]) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    match settings["kind"]:
        case "word":
            # Ids by first appearance: a trainer would order words of equal count by chance.
            split = pre_tokenizers.Whitespace().pre_tokenize_str
            words = dict.fromkeys(word for text in documents for word, _ in split(text))
            vocabulary = {word: i for i, word in enumerate([END_OF_TEXT, UNKNOWN, *words])}
            tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
            tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
            tokenizer.add_special_tokens([END_OF_TEXT, UNKNOWN])
        case "bpe":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            tokenizer.train_from_iterator(
                documents,
                trainers.BpeTrainer(
                    vocab_size=settings["vocab_size"],
                    special_tokens=[END_OF_TEXT],
                    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                    show_progress=False,
                ),
            )
        case kind:
            raise UserError(f"tokenizer kind {kind}: not one of bpe, word")
    return tokenizer
