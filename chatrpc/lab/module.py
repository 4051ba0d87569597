"""A student's module as text: definitions are put into it, and everything else in it stays."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from .cells import Definitions, bound, lines_of, same, text_lines, written
from .problem import LabProblem

LINE = 100  # characters
FUTURE = "from __future__ import annotations"

Keep = Callable[[str, str], bool]


@dataclass
class _Block:
    """A top-level statement, and in ``lead`` the lines before it: blank ones and comments."""

    text: str
    lead: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.statement = ast.parse(self.text).body[0]
        self.names = bound(self.statement)
        self.imports = isinstance(self.statement, ast.Import | ast.ImportFrom)
        self.large = isinstance(self.statement, ast.ClassDef | ast.FunctionDef)

    def part(self, name: str) -> str:
        """Return the source that binds this name; of an import only its part of it."""
        return written(self.statement, self.text, name)

    @property
    def told(self) -> bool:
        """Whether it is a docstring, or an import from the future: both stand first."""
        if isinstance(self.statement, ast.ImportFrom):
            return self.statement.module == "__future__"
        value = self.statement.value if isinstance(self.statement, ast.Expr) else None
        return isinstance(value, ast.Constant) and isinstance(value.value, str)


class Module:
    """The text of a module, which can be added to; ``name`` is its own, for imports of itself.

    Raises:
        LabProblem: the text is no Python, or has two statements in one line.
    """

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._blocks, self._tail = _parted(text, name)
        if not any(FUTURE in block.text for block in self._blocks if block.imports):
            first = bool(self._blocks and self._blocks[0].told)
            self._blocks.insert(int(first), _Block(FUTURE, [""] if first else []))

    @property
    def text(self) -> str:
        """The module as it is now."""
        lines: list[str] = []
        for block in self._blocks:
            lines += [*block.lead, block.text]
        return "\n".join([*lines, *self._tail]).strip("\n") + "\n"

    def defined(self) -> Definitions:
        """Return the module's own definitions, by name, without its imports."""
        return {name: b.text for b in self._blocks if not b.imports for name in b.names}

    def names(self) -> set[str]:
        """Return every name that the module gives a value."""
        return {name for block in self._blocks for name in block.names}

    def put(self, parts: Definitions, keep: Keep = lambda name, text: False) -> list[str]:
        """Write definitions, each standing after those before it; return the names that changed.

        A definition of the same name is replaced, unless ``keep`` says of its name and text that
        it stays. An import gives way to a definition of the module's own.

        Raises:
            LabProblem: a part is to come from this module itself, which does not have it.
        """
        changed = set()
        limit: _Block | None = None  # what is written next must stand before it
        for name, text in reversed(parts.items()):
            if _is_import(text):
                continue
            limit, new = self._define(name, text, limit, keep)
            changed |= {name} if new else set()
        for name, text in parts.items():
            if _is_import(text) and self._import(name, text):
                changed.add(name)
        return [name for name in parts if name in changed]

    def _define(
        self, name: str, text: str, limit: _Block | None, keep: Keep
    ) -> tuple[_Block | None, bool]:
        """Write one definition before the limit; return the new limit, and whether it changed."""
        old = next((b for b in reversed(self._blocks) if name in b.names and not b.imports), None)
        before = self._blocks[: self._blocks.index(limit)] if limit else self._blocks
        new = old is None or not (same(old.text, text) or keep(name, old.text))
        if old is None or (old not in before and new):
            if old is not None:
                self._remove(old)
            self._unimport(name)
            return self._insert(text, limit), True
        if old not in before:  # it stays as it is, and needs nothing of what comes after
            self._remove(old)
            return self._insert(old.text, limit), False
        if new:
            if others := set(old.names) - set(bound(ast.parse(text).body[0])):
                raise LabProblem(
                    f"{self._name}.py gives {name} its value together with {', '.join(others)}: "
                    "part that statement first."
                )
            self._blocks[self._blocks.index(old)] = old = _Block(text, old.lead)
        return old, new

    def _insert(self, text: str, before: _Block | None) -> _Block:
        block = _Block(text, [""])
        place = self._blocks.index(before) if before else len(self._blocks)
        above = self._blocks[place - 1] if place else None
        if block.large or (above and above.large):
            block.lead = ["", ""]
        self._blocks.insert(place, block)
        if before:
            wanted = 2 if block.large or before.large else 1
            while len(before.lead) < wanted or any(before.lead[:wanted]):
                before.lead.insert(0, "")
        return block

    def _remove(self, block: _Block) -> None:
        """Take a statement away; a comment above it stays, above the next one."""
        place = self._blocks.index(block)
        del self._blocks[place]
        if any(block.lead):
            after = self._blocks[place].lead if place < len(self._blocks) else self._tail
            after[:0] = block.lead

    def _import(self, name: str, text: str) -> bool:
        statement = ast.parse(text).body[0]
        if isinstance(statement, ast.ImportFrom) and statement.module == self._name:
            if name not in self.names():
                raise LabProblem(
                    f"{name} is imported from {self._name}, which no longer has it: "
                    "save its class, too, or first."
                )
            return False
        if name in self.defined():
            return False
        if any(b.imports and name in b.names and same(b.part(name), text) for b in self._blocks):
            return False
        self._unimport(name)
        self._add_import(_Block(text))
        return True

    def _add_import(self, new: _Block) -> None:
        """Put an import where one reads for it: with those of its module, else in order."""
        place = 0
        for number, block in enumerate(self._blocks):
            if not (block.told or block.imports):
                break
            if block.imports and not block.told:
                if joined := _joined(block, new):
                    self._blocks[number] = joined
                    return
                if _order(block.statement) > _order(new.statement):
                    break
            place = number + 1
        above = self._blocks[place - 1].statement if place else None
        below = self._blocks[place] if place < len(self._blocks) else None
        section = _order(new.statement)[0]
        if _order(above)[0] != section:
            new.lead = [""]
        if below and below.imports:
            if _order(below.statement)[0] != section:
                below.lead = below.lead or [""]
            elif not any(below.lead):
                below.lead = []
        self._blocks.insert(place, new)

    def _unimport(self, name: str) -> None:
        """Take a name out of the imports that bind it."""
        for block in [b for b in self._blocks if b.imports and name in b.names]:
            statement, place = block.statement, self._blocks.index(block)
            assert isinstance(statement, ast.Import | ast.ImportFrom)
            names = zip(block.names, statement.names, strict=True)
            others = [alias for bound_name, alias in names if bound_name != name]
            if not others:
                self._remove(block)
            elif isinstance(statement, ast.Import):
                self._blocks[place] = _Block(ast.unparse(ast.Import(others)), block.lead)
            else:
                self._blocks[place] = _Block(_from(statement, others), block.lead)


def _is_import(text: str) -> bool:
    return text.startswith(("import ", "from "))


def _order(statement: ast.stmt | None) -> tuple[int, int, str]:
    """Return what imports are sorted by: Python's own before others, ``import`` before ``from``."""
    if isinstance(statement, ast.Import):
        name, kind = statement.names[0].name, 0
    elif isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
        name, kind = statement.module or "", 1
    else:
        return -1, 0, ""
    return int(name.partition(".")[0] not in sys.stdlib_module_names), kind, name


def _joined(block: _Block, new: _Block) -> _Block | None:
    """Return an import with a new one in it, if both are from one module and nothing gets lost."""
    old, more = block.statement, new.statement
    if not (isinstance(old, ast.ImportFrom) and isinstance(more, ast.ImportFrom)):
        return None
    if old.module != more.module or old.level != more.level or "#" in block.text:
        return None
    names = sorted([*old.names, *more.names], key=lambda alias: alias.name)
    return _Block(_from(old, names), block.lead)


def _from(statement: ast.ImportFrom, names: list[ast.alias]) -> str:
    """Return such an import of these names, one a line if they are many."""
    line = ast.unparse(ast.ImportFrom(statement.module, names, statement.level))
    if len(line) <= LINE:
        return line
    head, told = line.split(" import ")
    rows = "".join(f"    {name},\n" for name in told.split(", "))
    return f"{head} import (\n{rows})"


def _parted(text: str, name: str) -> tuple[list[_Block], list[str]]:
    """Part a module's text into its statements and the lines after the last of them."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        line = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else error
        raise LabProblem(f"{name}.py is no Python ({line}): mend it first.") from None
    lines, blocks, end = text_lines(text), [], 0
    for statement in statements:
        first, last = lines_of(statement)
        if first <= end:
            raise LabProblem(f"{name}.py has two statements in line {first}: give each its own.")
        blocks.append(_Block("\n".join(lines[first - 1 : last]), lines[end : first - 1]))
        end = last
    return blocks, lines[end:]
