"""Stage ``tokenizer``: train a tokenizer on a corpus, and pack the corpus into tokens."""

import argparse
import json


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

    from workflow_scripts.core.atomic import atomic_path
    from workflow_scripts.models import corpus_tokenizer

    texts = [text for file in args.texts for text in corpus_tokenizer.documents(file)]
    tokenizer = corpus_tokenizer.trained(texts, args.settings["kind"], args.settings["vocab_size"])
    with atomic_path(args.tokenizer) as partial:
        corpus_tokenizer.in_hub_format(tokenizer).save_pretrained(partial)
    with atomic_path(args.tokens) as partial, partial.open("wb") as file:
        np.save(file, corpus_tokenizer.packed(tokenizer, texts))
