"""Which pairs hang together, and which prompts of different sets are nearly the same.

Pairs of one group are about one thing: a model that is right on one is likely to be right on the
others. No two sets share a group, and figures count groups as what is independent.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from workflow_scripts.data.screening import Pair, visible

NEARLY = 0.8
"""Least Jaccard similarity of the words of two prompts that are nearly the same."""


def normalised(prompt: str) -> str:
    """Return a prompt without what hardly changes what it asks.

    That is Unicode compatibility forms (NFKC), what a reader does not see, case, punctuation and
    white space. A prompt of punctuation alone stays as it looks.
    """
    seen = unicodedata.normalize("NFKC", visible(prompt)).casefold()
    punctuation = {
        ord(character): " "
        for character in set(seen)
        if unicodedata.category(character).startswith("P")
    }
    return " ".join(seen.translate(punctuation).split()) or seen


def prompt_group(prompt: str) -> str:
    """Return the group of a pair whose source names none: its normalised prompt, as a digest."""
    return sha256(normalised(prompt).encode()).hexdigest()[:16]


def group_of(pair: Pair) -> str:
    """Return the group of a pair: as its source says, or by its prompt."""
    return pair.group or prompt_group(pair.prompt)


def near_duplicates(prompts: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return, by set, how many of its prompts are nearly the same as one in another set.

    Words that every prompt has, such as the roles of a dialogue, don't count. Two sets of words
    with a Jaccard similarity of at least `NEARLY` share one of their rarest words, so only prompts
    that do are compared (prefix filter: Chaudhuri et al., ICDE 2006).

    Args:
        prompts: of each set.
    """
    words = {
        name: [frozenset(normalised(prompt).split()) for prompt in of_set]
        for name, of_set in prompts.items()
    }
    number = Counter(word for of_set in words.values() for found in of_set for word in found)
    total = sum(map(len, words.values()))
    shared = {word for word, times in number.items() if times == total}
    words = {name: [found - shared for found in of_set] for name, of_set in words.items()}
    rarest: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for name, of_set in words.items():
        for found in set(of_set):
            for word in _prefix(found, number):
                rarest.setdefault(word, []).append((name, found))
    return {
        name: sum(_has_near(found, name, rarest, number) for found in of_set)
        for name, of_set in words.items()
    }


def _prefix(words: Iterable[str], number: Mapping[str, int]) -> list[str]:
    """Return the rarest words, one of which every similar set of words has among its own."""
    by_rarity = sorted(words, key=lambda word: (number[word], word))
    return by_rarity[: len(by_rarity) - math.ceil(NEARLY * len(by_rarity)) + 1]


def _has_near(
    words: frozenset[str],
    name: str,
    rarest: Mapping[str, Sequence[tuple[str, frozenset[str]]]],
    number: Mapping[str, int],
) -> bool:
    return any(
        other_name != name and len(words & other) >= NEARLY * len(words | other)
        for word in _prefix(words, number)
        for other_name, other in rarest.get(word, ())
    )
