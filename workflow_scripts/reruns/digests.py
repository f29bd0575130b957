"""What a stage's code is, so that a change to it reruns that stage and no other.

A stage's code is its module's ``run`` and all that this reaches, transitively and in this project:
functions, classes (whole) and constants, by imports at the top of a module or inside a function.
It is read, never imported; ``spelling`` says what of it counts.

A definition's digest is that of its spelling, in which each definition of this project that it
uses stands as that one's digest, and each object of a library by its full name. So a digest does
not know where code lives or what it is called: moving or renaming a module or a definition
changes none. Definitions that use one another are hashed together.

A table is a dictionary of names at the top of a module, such as ``objectives.OBJECTIVES``. Where
one of its keys is among a rule's choices, only the entry of that key is reached: DPO's loss is not
part of the code that trains with SimPO. A constant made from ``__file__`` stands for the content
of the files that it names. A module that defines ``CHANGES_NO_RESULT`` is left out: what is used of
it counts by its name alone.
"""

import fnmatch
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.files import sha256_of
from workflow_scripts.reruns.provenance import installed
from workflow_scripts.reruns.spelling import FileName, Module, Part, Reference

CHANGES_NO_RESULT = "only says when results are made again"
STAGES = "stages"
RUN = "run"


def of_stage(module: str) -> str:
    """Return the digest of the code of a stage's module, by its ``__name__``, with whole tables."""
    return Code(Path(__file__).parents[1]).digest(module.rpartition(".")[2])


class _Meant(NamedTuple):
    """What a reference stands for.

    Attributes:
        definition: the dotted name of a definition of this project; empty for anything else.
        text: what is spelled after it, or in its place.
    """

    definition: str
    text: str = ""


class Code:
    """The code of a package's stages."""

    def __init__(self, package: Path | str, *, with_versions: bool = False) -> None:
        """Name the package's folder; its modules are read when they are first reached.

        Args:
            package: the folder.
            with_versions: whether versions of the libraries that the code names are part of it.
        """
        self._package = Path(package)
        self._with_versions = with_versions
        self._digests: dict[tuple[str, ...], str] = {}
        self._module = cache(self._read)
        self._split = cache(self._module_and_name)
        self._meant = cache(lambda dotted: list(self._resolve(dotted)))

    def digest(self, stage: str, *choices: str) -> str:
        """Return 16 hexadecimal digits that change when the code of a stage does.

        Args:
            stage: the name of its module in the package's folder ``stages``.
            choices: keys, each of which cuts the tables that have it down to its entry.
        """
        if (stage, *choices) not in self._digests:
            graph = _Graph(self, frozenset(choices))
            whole = graph.digest(self._root(stage))
            if self._with_versions:
                names = self._libraries(graph)
                whole += "".join(f"\n{name} version {installed(name)}" for name in names)
            digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
            self._digests[stage, *choices] = digest
        return self._digests[stage, *choices]

    def reached(self, stage: str, *choices: str) -> set[str]:
        """Return what a stage's code is made of: dotted names, and files from the top."""
        graph = _Graph(self, frozenset(choices))
        graph.digest(self._root(stage))
        return graph.reached

    def libraries(self, stage: str) -> list[str]:
        """Return the libraries that a stage's code names; others may stand behind these."""
        graph = _Graph(self, frozenset())
        graph.digest(self._root(stage))
        return self._libraries(graph)

    def _libraries(self, graph: "_Graph") -> list[str]:
        tops = {name.partition(".")[0] for name in graph.outside}
        return sorted(tops - sys.stdlib_module_names)

    def _root(self, stage: str) -> str:
        return f"{self._package.name}.{STAGES}.{stage}.{RUN}"

    def uses(self, definition: str, choices: frozenset[str]) -> tuple[Part, ...]:
        """Return a definition's spelling, for a table that of the entries that were chosen."""
        module, name = self._split(definition)
        keys = module.tables.get(name)
        if keys is None:
            return module.definition(name)
        chosen = sorted(choices.intersection(keys) or keys)
        entries = ((f"{key!r}:", Reference(f"{definition}[{key}]")) for key in chosen)
        return tuple(part for entry in entries for part in entry)

    def meant(self, reference: Reference) -> list[_Meant]:
        """Return what a reference stands for: several definitions for a whole module."""
        return self._meant(reference.dotted)

    def files(self, definition: str, text: str) -> dict[str, Path]:
        """Return the files that a definition's string names, next to it or from the top.

        A folder stands for the files in it, by their names there.
        """
        root = self._package.parent
        places = [self._split(definition)[0].folder / text, root / text]
        found = next((place for place in places if text and place.exists()), None)
        if found is None or found == root:
            return {}
        files = [found] if found.is_file() else sorted(found.rglob("*"))
        return {str(file.relative_to(found)): file for file in files if file.is_file()}

    def relative(self, file: Path) -> str:
        """Return a file's path from the top."""
        return str(file.relative_to(self._package.parent))

    def _resolve(self, dotted: str) -> Iterator[_Meant]:
        if dotted.partition(".")[0] != self._package.name:
            yield _Meant("", dotted)
            return
        if dotted.endswith("*"):
            for name in fnmatch.filter(self._names(), dotted):
                yield from self._whole(name)
            return
        name, attributes = self._longest_module(dotted)
        module = self._module(name)
        if not attributes:
            yield from self._whole(name)
            return
        first, point, rest = attributes.partition(".")
        if module.changes_no_result:
            yield _Meant("", attributes)
        elif first in module.names:
            yield _Meant(f"{name}.{first}", point + rest)
        elif origin := module.origins.get(first):
            yield from self._resolve(origin + point + rest)
        else:
            yield _Meant("", attributes)

    def _whole(self, name: str) -> Iterator[_Meant]:
        module = self._module(name)
        if not module.changes_no_result:
            yield from (_Meant(f"{name}.{definition}") for definition in module.names)

    def _names(self) -> list[str]:
        files = sorted(self._package.rglob("*.py"))
        modules = (file.relative_to(self._package.parent).with_suffix("").parts for file in files)
        return [".".join(parts) for parts in modules if parts[-1] != "__init__"]

    def _longest_module(self, dotted: str) -> tuple[str, str]:
        """Cut a dotted name into that of a module, as long as there is one, and the rest."""
        parts = dotted.split(".")
        # A definition's name may hold a dot only in a table's key, which comes last.
        for length in range(len(parts), 0, -1):
            if self._path(".".join(parts[:length])).is_file():
                return ".".join(parts[:length]), ".".join(parts[length:])
        raise AssertionError(f"{dotted} is in no module of {self._package}")

    def _module_and_name(self, definition: str) -> tuple[Module, str]:
        name, rest = self._longest_module(definition)
        return self._module(name), rest

    def _path(self, name: str) -> Path:
        place = self._package.parent.joinpath(*name.split("."))
        return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")

    def _read(self, name: str) -> Module:
        return Module(self._path(name), name)


class _Graph:
    """The definitions that a stage reaches under some choices, and their digests.

    Definitions that use one another in a circle are found by Tarjan's algorithm (1972).
    """

    def __init__(self, code: Code, choices: frozenset[str]) -> None:
        self._code = code
        self._choices = choices
        self._digests: dict[str, str] = {}
        self._order: dict[str, int] = {}
        self._earliest: dict[str, int] = {}
        self._open: list[str] = []
        self.reached: set[str] = set()
        self.outside: set[str] = set()

    def digest(self, definition: str) -> str:
        """Return a definition's digest."""
        if definition not in self._digests:
            self._visit(definition)
        return self._digests[definition]

    def _visit(self, definition: str) -> None:
        self._order[definition] = self._earliest[definition] = len(self._order)
        self._open.append(definition)
        self.reached.add(definition)
        for used in self._used(definition):
            if used not in self._order:
                self._visit(used)
            if used not in self._digests:
                self._earliest[definition] = min(self._earliest[definition], self._earliest[used])
        if self._earliest[definition] == self._order[definition]:
            place = self._open.index(definition)
            self._close(self._open[place:])
            del self._open[place:]

    def _close(self, circle: list[str]) -> None:
        """Give definitions that use one another, or a single one, their digests."""
        unplaced = dict.fromkeys(circle, "circle")
        spelled = {name: self._spelling(name, unplaced) for name in circle}
        if len(circle) == 1:
            self._digests[circle[0]] = _hash(spelled[circle[0]])
            return
        # In an order that does not depend on their names.
        places = sorted(circle, key=lambda name: (spelled[name], name))
        placed = {name: f"circle {place}" for place, name in enumerate(places)}
        whole = _hash("\n".join(self._spelling(name, placed) for name in places))
        self._digests |= {name: _hash(whole + placed[name]) for name in circle}

    def _used(self, definition: str) -> Iterator[str]:
        for part in self._code.uses(definition, self._choices):
            if isinstance(part, Reference):
                yield from (m.definition for m in self._code.meant(part) if m.definition)

    def _spelling(self, definition: str, circle: dict[str, str]) -> str:
        return "".join(
            self._spelled(definition, part, circle)
            for part in self._code.uses(definition, self._choices)
        )

    def _spelled(self, definition: str, part: Part, circle: dict[str, str]) -> str:
        match part:
            case Reference():
                meant = self._code.meant(part)
                self.outside.update(
                    m.text for m in meant if not m.definition and m.text == part.dotted
                )
                texts = (
                    (circle.get(m.definition) or self._digests.get(m.definition, "")) + m.text
                    for m in meant
                )
                return f"<{' '.join(sorted(texts))}>"
            case FileName(text):
                files = self._code.files(definition, text)
                self.reached.update(map(self._code.relative, files.values()))
                contents = (f"{name} {sha256_of(file)}" for name, file in files.items())
                return f"<{' '.join(contents)}>" if files else repr(text)
            case text:
                return text


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
