"""Random numbers that depend on a name alone, never on global state."""

import hashlib
import re

import numpy as np


def seed(name: str) -> int:
    """Return the 32-bit seed of ``name``."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def number(name: str) -> int:
    """Return the number of the cell's seed, with which the names of trainings end."""
    found = re.search(r"seed(\d+)$", name)
    assert found, f"{name} ends with no seed"
    return int(found[1])


def generator(name: str) -> np.random.Generator:
    """Return the generator of ``name``: the same numbers on every machine."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
