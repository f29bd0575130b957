"""Stage ``tokenizer``: train a tokenizer on a corpus, and pack the corpus into tokens."""

import argparse

from workflow_scripts.config.stage_settings import CorpusSettings, add_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    add_settings(parser, CorpusSettings)
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
        UserError: if a setting is wrong, or a file is missing or lacks its columns.
    """
    import numpy as np

    from workflow_scripts.core.atomic import atomic_path
    from workflow_scripts.models import corpus_tokenizer

    settings = CorpusSettings.parsed(args.settings)
    texts = [text for file in args.texts for text in corpus_tokenizer.documents(file)]
    tokenizer = corpus_tokenizer.trained(texts, settings.kind, settings.vocab_size)
    with atomic_path(args.tokenizer) as partial:
        corpus_tokenizer.in_hub_format(tokenizer).save_pretrained(partial)
    with atomic_path(args.tokens) as partial, partial.open("wb") as file:
        np.save(file, corpus_tokenizer.packed(tokenizer, texts))
