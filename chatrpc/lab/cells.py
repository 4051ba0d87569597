"""What a text of Python defines, name by name, without running it; and how it is put together.

A notebook's cells and a package's modules are read alike: a name's definition is the newest
top-level statement that gives the name its value, and what that statement uses comes before it.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

Definitions = dict[str, str]


def python(cell: str) -> str:
    """Return a cell's source as Python alone: magics and shell commands become calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(cell)  # type: ignore[no-untyped-call]


def definitions(texts: Iterable[str]) -> Definitions:
    """Return the newest definition of each name, in the order of their first appearance.

    Texts that are no Python define nothing.
    """
    found: Definitions = {}
    for text in texts:
        try:
            statements = ast.parse(text).body
        except SyntaxError:
            continue
        for statement in statements:
            for name in bound(statement):
                found[name] = written(statement, text, name)
    return found


def same(one: str, other: str) -> bool:
    """Whether two texts are the same Python, but for comments and how they are laid out."""
    try:
        return _dump(one) == _dump(other)
    except SyntaxError:
        return False


@cache
def _dump(text: str) -> str:
    return ast.dump(ast.parse(text))


def bound(statement: ast.stmt) -> list[str]:
    """Return the names that a definition gives a value: a class, function, import, assignment."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [statement.name]
    if isinstance(statement, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        if statement.module == "__future__":
            return []
        return [alias.asname or alias.name for alias in statement.names]
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [
            node.id
            for target in targets
            for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
    return []


def written(statement: ast.stmt, text: str, name: str) -> str:
    """Return a definition's source, decorators but an exercise's included.

    Of an import, only this name's part.
    """
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return _import_of(statement, name)
    first, last = lines_of(statement)
    return "\n".join(text_lines(text)[first - 1 : last])


def text_lines(text: str) -> list[str]:
    """Return a text's lines as Python counts them: a form feed, say, ends none."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def lines_of(statement: ast.stmt) -> tuple[int, int]:
    """Return the first and the last line of a statement, its decorators included.

    Not so an exercise's: the answer is wanted elsewhere, its check is not.
    """
    decorators = getattr(statement, "decorator_list", [])
    lines = [each.lineno for each in decorators if not is_exercise(each)]
    return min([statement.lineno, *lines]), statement.end_lineno or statement.lineno


def is_exercise(decorator: ast.expr) -> bool:
    """Whether a decorator hands its function or class to an exercise's check."""
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("exercise")


def stubs(source: str) -> list[str]:
    """Return the names of the functions still to be written: they end in ``return ...``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return):
            value = node.body[-1].value
            if isinstance(value, ast.Constant) and value.value is ...:
                found.append(node.name)
    return found


def _import_of(statement: ast.Import | ast.ImportFrom, name: str) -> str:
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            if name == (alias.asname or alias.name):
                return ast.unparse(ast.ImportFrom(statement.module, [alias], statement.level))
        elif name == (alias.asname or alias.name.partition(".")[0]):
            return ast.unparse(ast.Import([alias]))
    raise ValueError(name)


def gathered(names: Iterable[str], known: Mapping[str, str]) -> Definitions:
    """Return the definitions of these names and of all that they use, each after its needs."""
    found: Definitions = {}
    seen: set[str] = set()

    def add(name: str) -> None:
        if name in seen or name not in known:
            return
        seen.add(name)
        for need in globals_of(known[name]):
            add(need)
        found[name] = known[name]

    for name in names:
        add(name)
    return found


def globals_of(source: str) -> list[str]:
    """Return the global names that a source uses and does not make itself, in its order."""

    def tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
        yield table
        for child in table.get_children():
            yield from tables(child)

    used: dict[str, None] = {}
    for table in tables(symtable.symtable(source, "source", "exec")):
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            free = not symbol.is_assigned() if top else symbol.is_global()
            if symbol.is_referenced() and free and not hasattr(builtins, symbol.get_name()):
                used[symbol.get_name()] = None
    return list(used)
