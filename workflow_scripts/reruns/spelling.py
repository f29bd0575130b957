"""A module's definitions in canonical spelling: what they do, however they are written down.

Read from the syntax tree. Comments, docstrings, formatting and annotations outside class bodies
(where pydantic and dataclasses read them) are not spelled; nor is what is logged, nor what a
``UserError`` says. A name that is defined elsewhere, in this project or in a library, is a
``Reference`` by its full dotted name, however it was imported; a definition's own name is not
spelled. Empty fields of the tree are left out, so that those which a later Python adds change
nothing.
"""

import ast
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

STATEMENTS = "(statements)"
"""The name of what a module does besides defining; it belongs to everything that it defines."""
MARKER = "CHANGES_NO_RESULT"
"""The constant by which a module says that no result depends on it, and why."""

_UNSPELLED = frozenset({"ctx", "kind", "type_comment", "type_params", "returns"})
_Scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class Reference(NamedTuple):
    """What a definition uses: the dotted name of a definition, a module or a library's object.

    With a star at its end it stands for all modules that begin so.
    """

    dotted: str


class FileName(NamedTuple):
    """A string in a definition with ``__file__``: where it names files, their content counts."""

    text: str


Part = str | Reference | FileName


class Module:
    """One module: its definitions by name, spelled when they are asked for."""

    def __init__(self, path: Path, name: str) -> None:
        """Parse the file ``path`` of the module whose dotted name is ``name``."""
        self.name = name
        self.folder = path.parent
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

    @property
    def changes_no_result(self) -> bool:
        """Whether the module says that no result depends on it."""
        return MARKER in self._nodes

    def _enter(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Import() | ast.ImportFrom():
                self.origins |= _origins(statement)
            case ast.If(ast.Name("TYPE_CHECKING"), _, otherwise):
                for each in otherwise:
                    self._enter(each)
            case ast.If(ast.Compare(ast.Name("__name__"))):
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

    def _definition(self, name: str) -> tuple[Part, ...]:
        speller = _Speller(self)
        for node in self._nodes[name]:
            speller.visit(node)
        parts: list[Part] = list(speller.parts)
        if not speller.names_files:
            parts = [repr(part.text) if isinstance(part, FileName) else part for part in parts]
        elif all(isinstance(node, ast.Assign | ast.AnnAssign) for node in self._nodes[name]):
            # A constant that names files stands for them, from wherever it leads to them.
            parts = [part for part in parts if not isinstance(part, str | Reference)]
        if STATEMENTS in self._nodes and name != STATEMENTS:
            parts.append(Reference(f"{self.name}.{STATEMENTS}"))
        return tuple(_joined(parts))

    def origin(self, name: str) -> str | None:
        """Return the dotted name that ``name`` stands for at the module's top, if any."""
        return f"{self.name}.{name}" if name in self._nodes else self.origins.get(name)


@dataclass
class _Names:
    """The names that a function, class, lambda or comprehension binds for itself."""

    bound: set[str]
    is_class: bool = False
    origins: dict[str, str] = field(default_factory=dict)


class _Speller(ast.NodeVisitor):
    """Writes a definition's syntax tree down, with references for what it uses."""

    def __init__(self, module: Module) -> None:
        self.parts: list[Part] = []
        self.names_files = False
        self._module = module
        self._scopes: list[_Names] = []
        self._depth = 0

    def generic_visit(self, node: ast.AST) -> None:
        self._spell(type(node).__name__, ast.iter_fields(node))

    def visit(self, node: ast.AST) -> None:
        self._depth += 1
        super().visit(node)
        self._depth -= 1

    def _spell(self, kind: str, fields: Iterable[tuple[str, Any]]) -> None:
        self.parts.append(f"{kind}(")
        for name, value in fields:
            if name in _UNSPELLED or value is None or value == []:
                continue
            self.parts.append(f"{name}=")
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    self.visit(item)
                else:
                    self.parts.append(f"{item!r},")
        self.parts.append(")")

    def visit_Name(self, node: ast.Name) -> None:
        self._spell_dotted(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if dotted := _dotted(node):
            self._spell_dotted(dotted)
        else:
            self.visit(node.value)
            self.parts.append(f".{node.attr},")

    def _spell_dotted(self, dotted: str) -> None:
        first, point, rest = dotted.partition(".")
        origin = self._origin(first)
        self.names_files |= first == "__file__"
        self.parts.append(Reference(origin + point + rest) if origin else f"{dotted},")

    def _origin(self, name: str) -> str | None:
        """Return the dotted name that a name stands for, None for a local one or a built-in."""
        for depth, scope in enumerate(reversed(self._scopes)):
            if scope.is_class and depth:
                continue
            if name in scope.origins:
                return scope.origins[name]
            if name in scope.bound:
                return None
        return self._module.origin(name)

    def visit_Constant(self, node: ast.Constant) -> None:
        match node.value:
            case str(text):
                self.parts.append(FileName(text))
            case value:
                self.parts.append(f"{value!r},")

    def visit_arg(self, node: ast.arg) -> None:
        self.parts.append(f"{node.arg},")

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        (self._scopes[-1].origins if self._scopes else self._module.origins).update(_origins(node))

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
            case ast.Call(ast.Name("import_module") | ast.Attribute(attr="import_module"), [name]):
                self.parts += ["import_module(", Reference(_pattern(name)), ")"]
            case _:
                self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self._scopes and self._scopes[-1].is_class:
            self.generic_visit(node)
        elif node.value is not None:
            self._spell("Assign", [("targets", [node.target]), ("value", node.value)])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._spell_definition(node, [("bases", node.bases), ("keywords", node.keywords)])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._spell_definition(node, [("args", node.args)])

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def _spell_definition(
        self,
        node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
        head: list[tuple[str, Any]],
    ) -> None:
        # What defines the whole is known by this spelling, whatever it is called.
        name = [] if self._depth == 1 else [("name", node.name)]
        fields = [*name, *head, ("decorator_list", node.decorator_list)]
        self._spell(type(node).__name__, fields)
        self._in_scope(node, [("body", node.body)])

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._in_scope(node, [("body", node.body)])

    def visit_ListComp(self, node: ast.AST) -> None:
        self._in_scope(node, ast.iter_fields(node))

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def _in_scope(self, node: ast.AST, fields: Iterable[tuple[str, Any]]) -> None:
        self._scopes.append(_Names(_bound_inside(node), isinstance(node, ast.ClassDef)))
        self._spell(type(node).__name__, fields)
        self._scopes.pop()


def _joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield parts with texts that follow one another as one."""
    for is_text, run in itertools.groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            yield "".join(map(str, run))
        else:
            yield from run


def _bound_inside(scope: ast.AST) -> set[str]:
    """Return the names that a function, class, lambda or comprehension binds for itself."""
    bound: set[str] = set()
    elsewhere: set[str] = set()
    nodes = list(ast.iter_child_nodes(scope))
    while nodes:
        node = nodes.pop()
        match node:
            case ast.Name(name, ast.Store()) | ast.arg(name):
                bound.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                bound.add(name)
            case ast.MatchStar(str(name)) | ast.MatchMapping(rest=str(name)):
                bound.add(name)
            case ast.Global(names):
                elsewhere.update(names)
            case ast.ClassDef(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                bound.add(name)
        comprehension = isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp)
        if not isinstance(node, _Scope) and not comprehension | isinstance(node, ast.GeneratorExp):
            nodes += ast.iter_child_nodes(node)
    return bound - elsewhere


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
