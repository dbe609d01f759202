"""Mutants: small mistakes, one in a function, as code that a live function can be given.

Another comparison, `and` for `or`, a condition that always or never holds, a number one greater,
another operator, `min` for `max`, a call or an assignment that does not happen, `break` for
`continue`, a value that is not returned. See `mutation.py`.
"""

from __future__ import annotations

import ast
import copy
import functools
import gc
import importlib
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).parent.parent / "replication"
OURS = "replication"

#: Defaults are made when a module is imported.
_LEFT_OUT = frozenset(
    {"annotation", "returns", "decorator_list", "type_comment", "defaults", "kw_defaults"}
)
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitXor: ast.BitOr,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: where it is, what it is, and the code of the outermost function with it."""

    #: Below `replication`.
    file: str
    #: Of the outermost function: `name` or `Class.name`.
    function: str
    #: Of the statement, of a compound one its head; on to the change.
    lines: range
    change: str
    code: types.CodeType

    @property
    def name(self) -> str:
        """What names it as long as its line of text stays as it is."""
        return f"{self.file}:{self.function}: {self.change}"


# -- making mutants --------------------------------------------------------------------------------
def mutants(path: Path, wanted: Callable[[str], bool] = lambda _name: True) -> Iterator[Mutant]:
    """The mutants of a file whose names are wanted."""
    for within in _functions(path):
        yield from _of_function(path, within, wanted)


def _functions(path: Path) -> Iterator[list[Any]]:
    """Each function of a file, after the class that it is in."""
    for outer in ast.parse(path.read_text()).body:
        if isinstance(outer, ast.FunctionDef):
            yield [outer]
        elif isinstance(outer, ast.ClassDef):
            yield from ([outer, item] for item in outer.body if isinstance(item, ast.FunctionDef))


def _of_function(path: Path, within: list[Any], wanted: Callable[[str], bool]) -> Iterator[Mutant]:
    lines = path.read_text().splitlines()
    file = path.relative_to(SOURCE).as_posix()
    name = ".".join(each.name for each in within)
    seen: Counter[str] = Counter()
    for at, lines_of, before, after, apply, undo in _changes(within[-1]):
        change = f"{lines[at - 1].strip()} | {before} -> {after}"
        seen[change] += 1
        if seen[change] > 1:
            change += f" (no. {seen[change]})"
        if not wanted(f"{file}:{name}: {change}"):
            continue
        apply()
        try:
            code = _compiled(path, within)
        finally:
            undo()
        yield Mutant(file, name, lines_of, change, code)


def _compiled(path: Path, within: list[Any]) -> types.CodeType:
    """The code of a function, the last of ``within``, in the class around it."""
    body = copy.deepcopy(within[-1])
    for outer in reversed(within[:-1]):
        body = ast.ClassDef(outer.name, [], [], [body], [])
    module = ast.parse("from __future__ import annotations")
    module.body.append(body)
    code = compile(ast.fix_missing_locations(module), str(path), "exec")
    return _code_of(code, [each.name for each in within])


def _code_of(code: types.CodeType, path: list[str]) -> types.CodeType:
    for name in path:
        found = [c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == name]
        code = found[-1]  # an overload or a property's setter comes before
    return code


Change = tuple[int, range, str, str, Callable[[], None], Callable[[], None]]


def _changes(function: ast.FunctionDef) -> Iterator[Change]:
    """Changes of a tree: line, lines, before, after, how to make and how to undo it."""
    for parent, field, index, node, within in list(_nodes(function, function)):
        for fresh in _instead(node):
            before, after = _shown(node), _shown(fresh)

            def put(what: ast.AST, parent=parent, field=field, index=index) -> None:  # type: ignore[no-untyped-def]
                if index is None:
                    setattr(parent, field, what)
                else:
                    getattr(parent, field)[index] = what

            line = max(within.lineno, getattr(node, "lineno", 0))
            yield (
                line,
                range(within.lineno, max(line, _end_of_head(within)) + 1),
                before,
                after,
                lambda fresh=fresh, put=put: put(fresh),  # type: ignore[misc]
                lambda node=node, put=put: put(node),  # type: ignore[misc]
            )


def _end_of_head(statement: ast.stmt) -> int:
    """The last line of what a statement evaluates itself: `if (` may have no code on its line."""
    heads: list[ast.expr]
    match statement:
        case ast.If(test=test) | ast.While(test=test):
            heads = [test]
        case ast.For(iter=iterated):
            heads = [iterated]
        case ast.With(items=items):
            heads = [item.context_expr for item in items]
        case ast.Match(subject=subject):
            heads = [subject]
        case ast.FunctionDef() | ast.ClassDef() | ast.Try():
            heads = []
        case _:
            return statement.end_lineno or statement.lineno
    return max((head.end_lineno or 0 for head in heads), default=statement.lineno)


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node).splitlines()[0]
    return text if len(text) <= 90 else text[:89] + "…"


def _nodes(
    root: ast.AST, within: ast.stmt
) -> Iterator[tuple[ast.AST, str, int | None, ast.AST, ast.stmt]]:
    """Every node below one, with its place and its statement, but for what is left out."""
    for field, value in ast.iter_fields(root):
        if field in _LEFT_OUT:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or isinstance(node, (ast.Raise, ast.Assert)):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            if isinstance(node, ast.JoinedStr):
                continue
            if isinstance(node, ast.keyword) and node.arg == "strict":  # an assertion
                continue
            inner = node if isinstance(node, ast.stmt) else within
            yield root, field, index, node, inner
            yield from _nodes(node, inner)


def _instead(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of a node, by mistake."""
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                for other in (_COMPARISONS, _OPPOSITES):
                    if type(op) in other:
                        changed = [*ops[:index], other[type(op)](), *ops[index + 1 :]]
                        yield _with(node, ops=changed)
        case ast.BoolOp(op=op):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for index in range(len(node.values)):
                rest = [value for at, value in enumerate(node.values) if at != index]
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=op) if type(op) in _OPERATORS and not isinstance(
            node.left, ast.JoinedStr
        ):
            yield _with(node, op=_OPERATORS[type(op)]())
        case ast.AugAssign(op=op) if type(op) in _OPERATORS:
            yield _with(node, op=_OPERATORS[type(op)]())
            yield _passed(node)
        case ast.Call(func=ast.Name(id=called)) if called in _CALLS:
            yield _with(node, func=ast.copy_location(ast.Name(_CALLS[called], ast.Load()), node))
        case ast.Constant(value=bool(value)):
            yield _with(node, value=not value)
        case ast.Constant(value=int(value)):
            yield _with(node, value=value + 1)
        case ast.If() | ast.IfExp() | ast.While():
            for value in (True, False):
                if not (value and isinstance(node, ast.While)):
                    yield _with(node, test=ast.Constant(value))
        case ast.Break():
            yield ast.copy_location(ast.Continue(), node)
        case ast.Continue():
            yield ast.copy_location(ast.Break(), node)
        case ast.Return(value=value) if value is not None and not _is_nothing(value):
            yield _with(node, value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Delete():
            yield _passed(node)
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield _passed(node)


def _is_nothing(node: ast.AST) -> bool:
    """None, or as good as that."""
    return isinstance(node, ast.Constant) and node.value in (None, False)


def _passed(node: ast.AST) -> ast.AST:
    return ast.copy_location(ast.Pass(), node)


def _with(node: Any, **fields: Any) -> ast.AST:
    fresh = copy.copy(node)
    for name, value in fields.items():
        setattr(fresh, name, value)
    return ast.copy_location(fresh, node)


#: Functions that functions made when a module was imported, by their code.
Made = dict[types.CodeType, list[types.FunctionType]]


def made_at_import() -> Made:
    """Those of ours that are there before the first test."""
    out: Made = {}
    for each in gc.get_objects():
        if isinstance(each, types.FunctionType) and "<locals>" in each.__qualname__:
            ours = each.__module__.split(".")[0] == OURS
            out.setdefault(each.__code__, []).extend([each] * ours)
    return out


def put_in(mutant: Mutant, made: Made) -> None:
    """Give the live function a mutant's code, and those that it made."""
    name = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    holder: Any = importlib.import_module(f"replication.{name}")
    *classes, name = mutant.function.split(".")
    for each in classes:
        holder = getattr(holder, each)
    found = vars(holder)[name]
    for wrapped in ("__func__", "fget", "__wrapped__", "func"):
        found = getattr(found, wrapped, None) or found
    _put_inside(found.__code__, mutant.code, made)
    # A mutant may have lost its only `super()`, which is a free variable of the function.
    found.__code__ = mutant.code.replace(co_freevars=found.__code__.co_freevars)


def _put_inside(old: types.CodeType, new: types.CodeType, made: Made) -> None:
    inside = [[c for c in each.co_consts if isinstance(c, types.CodeType)] for each in (old, new)]
    for one, other in zip(*inside, strict=False):
        if (one.co_name, one.co_freevars) == (other.co_name, other.co_freevars):
            for function in made.get(one, ()):
                function.__code__ = other
            _put_inside(one, other, made)


def unchanged(path: Path) -> Iterator[Mutant]:
    """Each function of a file as it is, made as a mutant is made."""
    for within in _functions(path):
        name = ".".join(each.name for each in within)
        file = path.relative_to(SOURCE).as_posix()
        yield Mutant(file, name, range(0), "nothing", _compiled(path, within))


def caches() -> list[Callable[[], None]]:
    """What makes each function of ours forget what it remembers."""
    owners: list[Any] = [m for name, m in list(sys.modules.items()) if name.split(".")[0] == OURS]
    owners += [each for owner in owners for each in vars(owner).values() if isinstance(each, type)]
    found = [each for owner in owners for each in vars(owner).values()]
    found = [getattr(each, "__func__", each) for each in found]
    return [each.cache_clear for each in found if isinstance(each, functools._lru_cache_wrapper)]
