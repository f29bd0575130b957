"""Random texts whose lengths are like those of HH-RLHF's harmless pairs: no data are needed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.throughput import workload
from workflow_scripts.core import seeds

WORDS = 5_000
PROMPT, RESPONSE = (12, 0.6), (35, 0.9)
"""Median words of a text, and the spread of their logarithm."""


def write_pairs(folder: Path, count: int) -> Path:
    """Write ``count`` pairs, and the texts for the tokenizer; return the pairs' file."""
    generator = seeds.generator(f"{workload.SEED}/texts")
    letters = generator.integers(97, 123, size=(WORDS, 7), dtype="uint8")
    lengths = generator.integers(2, 8, size=WORDS)
    words = [bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True)]
    # Zipf's law: a few words make most of every text.
    shares = 1 / (1 + generator.permutation(WORDS))
    shares /= shares.sum()

    def text(median: int, spread: float) -> str:
        length = max(1, int(median * generator.lognormal(0, spread)))
        return " ".join(generator.choice(words, size=length, p=shares))

    columns = {
        "id": [f"pair-{row:06d}" for row in range(count)],
        "prompt": [f"\n\nHuman: {text(*PROMPT)}?\n\nAssistant:" for _ in range(count)],
        "chosen": [f" {text(*RESPONSE)}." for _ in range(count)],
        "rejected": [f" {text(*RESPONSE)}." for _ in range(count)],
    }
    made = folder / f"random{count}.parquet"
    for file in (made, folder / "texts.parquet"):
        pq.write_table(pa.table(columns), file)
    return made
