"""Mutants of a right answer: the same code with one small change that a tired reader could make.

An answer is taken with everything of its module that it uses: helpers, base classes, statements in
SQL. Each of these is changed in one place at a time, and the whole is compiled anew, so that a
mutant shares nothing with the answer. A change is named by the code before and after it, not by its
line, so the name stays when something else in the file moves.

Leaves out: two changes at once, and changes in labkit's own code.
"""

from __future__ import annotations

import ast
import copy
import difflib
import inspect
import itertools
import linecache
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Body = list[ast.stmt]
SWAPPED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
OTHER_NAME = {"max": "min", "min": "max", "sorted": "list", "set": "list", "reversed": "list"}
SQL = re.compile(r"\s*(SELECT|UPDATE|INSERT|DELETE)\b")


@dataclass(frozen=True)
class Mutant:
    """A changed answer. `name` says what was changed, in code."""

    name: str
    answer: Any

    def __repr__(self) -> str:
        return f"<mutant {self.name}>"


def mutants(answer: Any) -> Iterator[Mutant]:
    """Every mutant of this function or class, each once."""
    module = sys.modules[answer.__module__]
    parts = _parts(module, answer.__name__)
    known = {_code(parts)}
    seen: Counter[str] = Counter()
    for number, part in enumerate(parts):
        for what, changed in _changes(part):
            code = _code([*parts[:number], changed, *parts[number + 1 :]])
            if code in known:
                continue
            known.add(code)
            made = _compiled(code, module, answer.__name__)
            if made is not None:
                seen[what] += 1
                again = f" ({seen[what]})" if seen[what] > 1 else ""
                yield Mutant(f"{answer.__name__}: {what}{again}", made)


def _parts(module: ModuleType, name: str) -> list[ast.stmt]:
    """The statements at the module's top level that `name` is made of, in their order. What it
    overrides is left out.
    """
    top: dict[str, ast.stmt] = {}
    for statement in ast.parse(inspect.getsource(module)).body:
        for defined in _defines(statement):
            top[defined] = statement
    wanted: list[ast.stmt] = []
    names = [name]
    while names:
        statement = top.get(names.pop())  # type: ignore[assignment]
        if statement is None or statement in wanted:
            continue
        wanted.append(statement)
        names += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    own = top[name]
    if isinstance(own, ast.ClassDef) and "super()" not in ast.unparse(own):
        methods = {it.name for it in own.body if isinstance(it, ast.FunctionDef)}
        for base in wanted:
            if isinstance(base, ast.ClassDef) and base is not own:
                base.body = [it for it in base.body if getattr(it, "name", "") not in methods]
    return sorted(wanted, key=lambda statement: statement.lineno)


def _defines(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def _code(parts: list[ast.stmt]) -> str:
    return "\n\n".join(ast.unparse(part) for part in parts)


_numbers = itertools.count()


def _compiled(code: str, module: ModuleType, name: str) -> Any:
    file = f"<mutant {next(_numbers)}>"
    try:
        compiled = compile("from __future__ import annotations\n" + code, file, "exec")
    except SyntaxError:
        return None
    linecache.cache[file] = (len(code), None, ["\n", *code.splitlines(keepends=True)], file)
    space = dict(vars(module))
    exec(compiled, space)
    return space[name]


# -- the changes


def _changes(part: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    """What can be changed in this statement, and the statement with the change."""
    for number, node in enumerate(ast.walk(part)):
        for change in _of_a_node(node):
            changed = copy.deepcopy(part)
            twin = next(itertools.islice(ast.walk(changed), number, None))
            what = change(twin)
            yield f"{what}: {_difference(part, changed)}", ast.fix_missing_locations(changed)


Change = Callable[[Any], str]
"""Changes a node where it stands; returns what was done."""


def _of_a_node(node: ast.AST) -> Iterator[Change]:
    yield from _of_operators(node)
    yield from _of_constants(node)
    for field in ("body", "orelse", "finalbody"):
        body = getattr(node, field, None)
        if isinstance(body, list):
            for at, statement in enumerate(body):
                yield from _of_a_statement(field, body, at, statement)
    if isinstance(node, ast.ExceptHandler) and ast.unparse(node.type or ast.Name("")) not in (
        "Exception",
        "BaseException",
    ):
        yield lambda it: _set(it, "type", ast.Name("Exception"), "catches every Exception")
    if isinstance(node, ast.ExceptHandler):
        yield lambda it: _set(it, "type", ast.Name("BaseException"), "catches BaseException")


def _of_operators(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
        other = SWAPPED[type(node.ops[0])]  # type: ignore[index]
        yield lambda it: _set(it, "ops", [other()], "compares otherwise")
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPPED:
        another = SWAPPED[type(node.op)]  # type: ignore[index]
        yield lambda it: _set(it, "op", another(), "calculates otherwise")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in OTHER_NAME:
            name = ast.Name(OTHER_NAME[node.func.id])
            yield lambda it: _set(it, "func", name, "calls another")
        if node.func.id == "suppress":
            yield lambda it: _set(it, "args", [ast.Name("Exception")], "suppresses every Exception")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda it: _become(it, it.operand, "does not negate")
    if isinstance(node, ast.IfExp):
        yield lambda it: _become(it, it.body, "always")
        yield lambda it: _become(it, it.orelse, "never")
    if isinstance(node, ast.comprehension) and node.ifs:
        yield lambda it: _set(it, "ifs", [], "drops the condition")


def _of_constants(node: ast.AST) -> Iterator[Change]:
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool):
        yield lambda it: _set(it, "value", not value, "says the opposite")
    elif isinstance(value, int):
        yield lambda it: _set(it, "value", value + 1, "off by one")
    elif isinstance(value, str) and SQL.match(value):
        for what, sql in _of_sql(value):
            yield lambda it, what=what, sql=sql: _set(it, "value", sql, what)  # type: ignore[misc]


def _of_sql(sql: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"<=|>=|<(?!>)|>", sql):
        other = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}[found[0]]
        yield "compares otherwise", sql[: found.start()] + other + sql[found.end() :]
    for found in re.finditer(r" AND (?:(?! AND | ORDER | RETURNING ).)+", sql):
        yield "drops a guard", sql[: found.start()] + sql[found.end() :]
    for found in re.finditer(r"WHERE (?:(?! AND | ORDER | RETURNING ).)+ AND ", sql):
        yield "drops a guard", sql[: found.start()] + "WHERE " + sql[found.end() :]
    for found in re.finditer(r" [-+] ", sql):
        other = {" + ": " - ", " - ": " + "}[found[0]]
        yield "calculates otherwise", sql[: found.start()] + other + sql[found.end() :]
    for found in re.finditer(r" ORDER BY \w+| ON CONFLICT DO NOTHING", sql):
        yield "drops a clause", sql[: found.start()] + sql[found.end() :]


def _of_a_statement(field: str, body: Body, at: int, one: ast.stmt) -> Iterator[Change]:
    """Changes of the node that has `one` in its `field` at `at`."""
    if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
        return  # a docstring

    def put(*instead: ast.stmt, what: str, upto: int = 1) -> Change:
        def change(it: Any) -> str:
            block = getattr(it, field)
            block[at : at + upto] = [copy.deepcopy(new) for new in instead]
            if not block and field == "body":
                block.append(ast.Pass())
            return what

        return change

    if at + 1 < len(body) and not _independent(one, body[at + 1]):
        yield put(body[at + 1], one, what="swaps", upto=2)
    droppable = isinstance(one, ast.Expr | ast.AugAssign | ast.Assign | ast.Raise)
    if droppable and not _binds_a_name(one):
        yield put(what="drops")
    if isinstance(one, ast.Expr) and isinstance(one.value, ast.Await):
        task = ast.parse("asyncio.ensure_future(x)").body[0]
        task.value.args = [one.value.value]  # type: ignore[attr-defined]
        yield put(task, what="does not wait for")
    if isinstance(one, ast.If):
        yield put(*one.body, *([] if _leaves(one.body) else one.orelse), what="always")
        yield put(*one.orelse, what="never")
    if isinstance(one, ast.For | ast.AsyncFor | ast.While) and not isinstance(one, ast.While):
        yield put(_first_only(one), what="only once")
    if isinstance(one, ast.While):
        yield put(*one.body, what="only once")
    if isinstance(one, ast.With | ast.AsyncWith):
        yield from _of_a_block(put, one)
    if isinstance(one, ast.Try):
        yield put(*one.body, *one.orelse, *one.finalbody, what="catches nothing in")
    if isinstance(one, ast.Return) and not isinstance(one.value, ast.Constant | None):
        yield put(ast.Return(ast.Constant(None)), what="returns None for")
        yield put(ast.Expr(one.value), what="does not return")
    if isinstance(one, ast.Continue):
        yield put(ast.Break(), what="stops at")


def _of_a_block(put: Callable[..., Change], block: ast.With | ast.AsyncWith) -> Iterator[Change]:
    def holding(body: Body) -> ast.stmt:
        twin = copy.deepcopy(block)
        twin.body = body
        return twin

    for cut in range(1, len(block.body)):
        first, rest = block.body[:cut], block.body[cut:]
        yield put(holding(first), holding(rest), what=f"splits after {cut}")
        yield put(holding(first), *rest, what=f"ends after {cut}")
        yield put(*first, holding(rest), what=f"begins after {cut}")
    if all(item.optional_vars is None for item in block.items):
        yield put(*block.body, what="without the block of")
    elif len(block.body) == 1 and isinstance(block.body[0], ast.For | ast.AsyncFor):
        loop = copy.deepcopy(block.body[0])  # a block for each round, not one for all of them
        loop.body = [holding(loop.body)]
        yield put(loop, what="one block a round in")
    if len(block.body) == 1 and isinstance(block.body[0], ast.If) and not block.body[0].orelse:
        inner = block.body[0]
        if _plain(inner.test):
            return
        looked = ast.Assign([ast.Name("looked")], inner.test, lineno=0)
        after = holding(inner.body)
        yield put(
            holding([looked]),
            ast.If(ast.Name("looked"), [after], []),
            what="looks in a block of its own in",
        )


def _independent(one: ast.stmt, next_: ast.stmt) -> bool:
    """Whether the order of two statements cannot matter: definitions, and assignments of which
    neither waits nor names what the other assigns.
    """
    pair = (one, next_)
    if any(isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef) for it in pair):
        return True
    if not all(isinstance(it, ast.Assign | ast.AnnAssign | ast.AugAssign) for it in pair):
        return False
    if any(isinstance(node, ast.Await) for it in pair for node in ast.walk(it)):
        return False
    return not any(
        ast.unparse(target) in ast.unparse(other)
        for it, other in (pair, pair[::-1])
        for target in (it.targets if isinstance(it, ast.Assign) else [it.target])  # type: ignore[attr-defined]
    )


def _first_only(loop: ast.For | ast.AsyncFor) -> ast.stmt:
    once = copy.deepcopy(loop)
    once.body.append(ast.Break())
    return once


def _binds_a_name(one: ast.stmt) -> bool:
    return isinstance(one, ast.Assign) and any(
        isinstance(node, ast.Name)
        for target in one.targets
        for node in [target, *_elements(target)]
    )


def _elements(target: ast.expr) -> list[ast.expr]:
    return target.elts if isinstance(target, ast.Tuple) else []


def _leaves(body: Body) -> bool:
    return isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


def _plain(test: ast.expr) -> bool:
    return not any(isinstance(node, ast.Await) for node in ast.walk(test))


def _set(node: Any, field: str, value: Any, what: str) -> str:
    setattr(node, field, value)
    return what


def _become(node: Any, other: ast.expr, what: str) -> str:
    node.__class__ = other.__class__
    node.__dict__.clear()
    node.__dict__.update(other.__dict__)
    return what


def _difference(was: ast.stmt, now: ast.stmt) -> str:
    """The lines that went, and those that came for them."""
    old, new = (ast.unparse(code).splitlines() for code in (was, now))
    lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
    went = [" ".join(line[1:].split()) for line in lines if line.startswith("-")]
    came = [" ".join(line[1:].split()) for line in lines if line.startswith("+")]
    return f"{' | '.join(went) or 'nothing'} -> {' | '.join(came) or 'nothing'}"
