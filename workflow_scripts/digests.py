"""What a stage's code is, so that a change to it reruns that stage and no other.

A stage's code is its module's ``run`` and all that this reaches, transitively and in this project:
functions, classes (whole) and constants, by imports at the top of a module or inside a function.
It is read, never imported; ``spelling`` says what of it counts.

A table is a dictionary of names at the top of a module, such as ``objectives.OBJECTIVES``. Where
one of its keys is among a rule's choices, only the entry of that key is reached: DPO's loss is not
part of the code that trains with SimPO. A constant made from ``__file__`` stands for the content
of the files that it names.
"""

import fnmatch
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.provenance import installed
from workflow_scripts.spelling import STATEMENTS, Module

RUN = "run"
LEFT_OUT = {
    "errors": "what the user is told",
    "telemetry": "progress, metrics and the record of what a training cost",
    "execution": "knobs of speed",
    "memory": "how much of a device's memory they take",
    "ranks": "how many processes share a batch: the result is the same, and tests hold it to that",
    "resume": "going on after an interruption: likewise",
    "zero": "how processes share weights and states: likewise",
    **dict.fromkeys(
        ("settings", "data_settings", "model_settings", "training_settings", "section"),
        "checks the configuration, whose values are in the rules' slices",
    ),
    "files.atomic_path": "how a file reaches the disk, not what is in it",
}
"""Modules and definitions on which no result depends, and why not.

The command line, the warm start and provenance are outside of every ``run``.
"""


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
        self._modules: dict[str, Module] = {}
        self._digests: dict[tuple[str, ...], str] = {}
        self._names = sorted(path.stem for path in self._package.glob("*.py"))

    def digest(self, module: str, *choices: str) -> str:
        """Return 16 hexadecimal digits that change when the code of ``module``'s stage does.

        Args:
            module: the stage's.
            choices: keys, each of which cuts the tables that have it down to its entry.
        """
        if (module, *choices) not in self._digests:
            parts = self.reached(module, *choices)
            if self._with_versions:
                parts |= {f"{name} version": installed(name) for name in self.libraries(module)}
            whole = "\n".join(f"{name} {spelling}" for name, spelling in sorted(parts.items()))
            digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
            self._digests[module, *choices] = digest
        return self._digests[module, *choices]

    def reached(self, module: str, *choices: str) -> dict[str, str]:
        """Return what a stage's code is made of: dotted names and files, each with its spelling.

        A library's name has none: it counts by itself.
        """
        queue = [f"{self._package.name}.{module}.{RUN}"]
        reached: dict[str, str] = {}
        while queue:
            for name in self._meant(queue.pop()):
                if name not in reached:
                    reached[name], used = self._spelt(name, frozenset(choices))
                    queue += used
        return reached

    def libraries(self, module: str) -> list[str]:
        """Return the libraries that a stage's code names; others may stand behind these."""
        tops = {name.partition(".")[0] for name in self.reached(module) if "/" not in name}
        return sorted(tops - sys.stdlib_module_names - {self._package.name})

    def _meant(self, dotted: str) -> Iterator[str]:
        """Yield the definitions, or the library's name, that a dotted name stands for."""
        package, _, path = dotted.partition(".")
        if package != self._package.name:
            yield dotted
            return
        stem, _, rest = path.partition(".")
        name, _, attributes = rest.partition(".")
        if stem in LEFT_OUT or f"{stem}.{name}" in LEFT_OUT:
            return
        if not name:
            for whole in fnmatch.filter(self._names, stem):
                yield from (f"{package}.{whole}.{each}" for each in self._module(whole).names)
        elif name in (module := self._module(stem)).names:
            yield f"{package}.{stem}.{name}"
        elif origin := module.origins.get(name):
            yield from self._meant(f"{origin}.{attributes}" if attributes else origin)

    def _spelt(self, name: str, choices: frozenset[str]) -> tuple[str, list[str]]:
        """Return a definition's or a file's spelling, and the dotted names that it uses."""
        if "/" in name:
            return hashlib.sha256((self._package.parent / name).read_bytes()).hexdigest(), []
        package, _, path = name.partition(".")
        if package != self._package.name:
            return "", []
        stem, _, own = path.partition(".")
        module = self._module(stem)
        spelling, references, files = module.definition(own)
        used = [*references, *self._files(files)]
        if STATEMENTS in module.names:
            used.append(f"{package}.{stem}.{STATEMENTS}")
        keys = module.tables.get(own, [])
        chosen = choices.intersection(keys) or keys
        used += [f"{package}.{stem}.{own}[{key}]" for key in chosen]
        return spelling, used

    def _files(self, strings: frozenset[str]) -> Iterator[str]:
        """Yield the files of the checkout that strings name, beside the package's or from its top.

        A folder stands for the files in it.
        """
        root = self._package.parent
        for string in strings:
            for place in (self._package / string, root / string):
                files = place.rglob("*") if place.is_dir() else [place]
                yield from (str(file.relative_to(root)) for file in files if file.is_file())

    def _module(self, stem: str) -> Module:
        if stem not in self._modules:
            path = self._package / f"{stem}.py"
            self._modules[stem] = Module(path, f"{self._package.name}.{stem}")
        return self._modules[stem]
