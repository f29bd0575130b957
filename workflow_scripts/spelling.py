"""A module's definitions in canonical spelling: what they do, however they are written down.

Read from the syntax tree. Comments, docstrings, formatting and annotations outside class bodies
(where pydantic and dataclasses read them) are not spelt; nor is what is logged, nor what a
``UserError`` says. Fields of the tree that are empty are not either, so that those which a later
Python adds change nothing.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

STATEMENTS = "(statements)"
"""The name of what a module does besides defining; it belongs to everything that it defines."""

_UNSPELT = frozenset({"ctx", "kind", "type_comment", "type_params", "returns"})


class Definition(NamedTuple):
    """A function, class, constant or entry of a table.

    Attributes:
        spelling: the canonical one.
        references: dotted names of what it uses: of this module, this package or a library; with
            a star at the end, of all modules that begin so.
        files: strings in an expression with ``__file__``.
    """

    spelling: str
    references: frozenset[str]
    files: frozenset[str]


class Module:
    """One module: its definitions by name, spelt when they are asked for."""

    def __init__(self, path: Path, name: str) -> None:
        """Parse the file ``path`` of the module whose dotted name is ``name``."""
        self._name = name
        self._nodes: dict[str, list[ast.AST]] = {}
        self.origins: dict[str, str] = {}
        """Dotted names of what is imported at the module's top."""
        self.tables: dict[str, list[str]] = {}
        """The keys of every dictionary of names at the module's top."""
        for statement in ast.parse(path.read_bytes(), path).body:
            self._enter(statement)
        self.definition = cache(self._definition)

    @property
    def names(self) -> Iterable[str]:
        """All that is defined here, an entry of a table as ``TABLE[key]``."""
        return self._nodes.keys()

    def _enter(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Import() | ast.ImportFrom():
                self.origins |= _origins(statement)
            case ast.If(ast.Name("TYPE_CHECKING") | ast.Compare(ast.Name("__name__"))):
                pass
            case ast.Expr(ast.Constant()):
                pass
            case ast.Assign([ast.Name(name)], ast.Dict() as table) | ast.AnnAssign(
                ast.Name(name), _, ast.Dict() as table
            ) if keys := _string_keys(table):
                self.tables[name] = keys
                self._nodes[name] = []
                for key, value in zip(keys, table.values, strict=True):
                    self._nodes[f"{name}[{key}]"] = [value]
            case _:
                names = set(_bound(statement))
                if not names or isinstance(statement, ast.For | ast.While):
                    names.add(STATEMENTS)
                for name in names:
                    self._nodes.setdefault(name, []).append(statement)

    def _definition(self, name: str) -> Definition:
        speller = _Speller()
        for node in self._nodes[name]:
            speller.visit(node)
        references = set(speller.patterns)
        for used in speller.used:
            first, *rest = used.split(".")
            origin = speller.origins.get(first) or self.origins.get(first)
            if origin is None and first in self._nodes and first != name:
                origin = f"{self._name}.{first}"
            if origin is not None:
                references.add(".".join([origin, *rest]))
        return Definition(
            "".join(speller.parts),
            frozenset(references),
            frozenset(speller.strings if "__file__" in speller.used else ()),
        )


class _Speller(ast.NodeVisitor):
    """Writes a syntax tree down, and notes what it uses."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.used: set[str] = set()
        self.origins: dict[str, str] = {}
        self.patterns: set[str] = set()
        self.strings: set[str] = set()
        self._in_class = False

    def generic_visit(self, node: ast.AST) -> None:
        self._spell(type(node).__name__, ast.iter_fields(node))

    def _spell(self, kind: str, fields: Iterable[tuple[str, Any]]) -> None:
        self.parts.append(f"{kind}(")
        for name, value in fields:
            if name in _UNSPELT or value is None or value == []:
                continue
            self.parts.append(f"{name}=")
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    self.visit(item)
                else:
                    self.parts.append(f"{item!r},")
        self.parts.append(")")

    def visit_Name(self, node: ast.Name) -> None:
        self.used.add(node.id)
        self.parts.append(f"{node.id},")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if dotted := _dotted(node):
            self.used.add(dotted)
            self.parts.append(f"{dotted},")
        else:
            self.visit(node.value)
            self.parts.append(f".{node.attr},")

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.strings.add(node.value)
        self.parts.append(f"{node.value!r},")

    def visit_arg(self, node: ast.arg) -> None:
        self.parts.append(f"{node.arg},")

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.origins |= _origins(node)

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_Pass(self, node: ast.Pass) -> None:
        pass

    def visit_Expr(self, node: ast.Expr) -> None:
        match node.value:
            case ast.Constant() | ast.Call(ast.Attribute(ast.Name("logger"))):
                pass
            case _:
                self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(ast.Name("UserError")):
                self.parts.append("UserError,")
                return
            case ast.Call(ast.Name("import_module") | ast.Attribute(attr="import_module"), [name]):
                self.patterns.add(_pattern(name))
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self._in_class:
            self.generic_visit(node)
        elif node.value is not None:
            self._spell("Assign", [("targets", [node.target]), ("value", node.value)])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_body(node, in_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_body(node, in_class=False)

    def _visit_body(self, node: ast.AST, *, in_class: bool) -> None:
        outside, self._in_class = self._in_class, in_class
        self.generic_visit(node)
        self._in_class = outside


def _origins(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Return the dotted name of each name that is imported."""
    if isinstance(statement, ast.ImportFrom):
        assert not statement.level, "imports in this project are absolute"
        prefix = f"{statement.module}."
        return {alias.asname or alias.name: prefix + alias.name for alias in statement.names}
    return {
        alias.asname or alias.name.split(".")[0]: alias.name
        if alias.asname
        else alias.name.split(".")[0]
        for alias in statement.names
    }


def _bound(statement: ast.AST) -> Iterator[str]:
    """Yield the names that a statement at a module's top defines."""
    match statement:
        case ast.ClassDef(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
            yield name
        case ast.Name(name, ast.Store()):
            yield name
        case ast.comprehension():
            pass
        case _:
            for child in ast.iter_child_nodes(statement):
                yield from _bound(child)


def _string_keys(table: ast.Dict) -> list[str]:
    """Return a table's keys, none where they are not all names."""
    keys: list[str] = []
    for key in table.keys:
        match key:
            case ast.Constant(str(name)):
                keys.append(name)
            case _:
                return []
    return keys


def _dotted(node: ast.expr) -> str | None:
    """Return ``a.b.c`` where a node is that, and None where it begins with more than a name."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, attribute):
            start = _dotted(value)
            return start and f"{start}.{attribute}"
    return None


def _pattern(name: ast.expr) -> str:
    """Return the modules that ``import_module(name)`` may open."""
    match name:
        case ast.Constant(str(whole)):
            return whole
        case ast.JoinedStr([ast.Constant(str(start)), *_]):
            return f"{start}*"
    return "*"
