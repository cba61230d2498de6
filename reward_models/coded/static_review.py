"""Judging a program by its text alone, before anything runs."""

from __future__ import annotations

import ast
import io
import symtable
import tokenize
import warnings
from collections.abc import Iterator

from reward_models.coded.anatomy import (
    ARGUMENTS,
    INFO_KEYS,
    PREVIOUS,
    REQUIRED_FUNCTIONS,
    SCALAR_PARAMETERS,
    SIGNED_PARAMETERS,
    required,
)
from reward_models.coded.faults import Fault, FaultKind
from reward_models.coded.limits import Limits
from reward_models.coded.program import Convention
from reward_models.coded.quantities import ProgramInputs
from reward_models.errors import nearest_name

MODULES = ("math", "numpy", "typing")
GIVEN = ("math", "np", "numpy", "ACTIONS")
_BUILTINS = (
    "abs all any bool dict divmod enumerate filter float frozenset int isinstance iter len list "
    "map max min next pow print range repr reversed round set sorted str sum tuple zip "
    "Exception ArithmeticError AssertionError AttributeError IndexError KeyError OverflowError "
    "RuntimeError StopIteration TypeError ValueError ZeroDivisionError"
)
BUILTINS = frozenset(_BUILTINS.split())
"""What a program may use without declaring it."""

_FORBIDDEN = (
    "open exec eval compile input globals locals vars dir getattr setattr delattr hasattr id hash "
    "type object super memoryview bytearray breakpoint help exit quit classmethod staticmethod "
    "property callable BaseException SystemExit KeyboardInterrupt GeneratorExit"
)
_FORBIDDEN_NAMES = frozenset(_FORBIDDEN.split())
_FORBIDDEN_STATEMENTS: dict[type[ast.AST], str] = {
    ast.Global: "global", ast.Nonlocal: "nonlocal", ast.ClassDef: "class", ast.With: "with",
    ast.AsyncWith: "async", ast.AsyncFor: "async", ast.AsyncFunctionDef: "async",
    ast.Await: "await", ast.Yield: "yield", ast.YieldFrom: "yield", ast.Delete: "del",
}  # fmt: skip
_CHANGES = "append extend insert remove pop popitem clear update setdefault sort reverse fill put"
_CHANGING = frozenset(_CHANGES.split())
_NESTING, _TOKENS_PER_LINE, _UNARY, _LINE = 40, 1000, 20, 2000
_TOP_LEVEL = (ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom)


def static_review(
    source: str, convention: Convention, inputs: ProgramInputs, limits: Limits
) -> tuple[Fault, ...]:
    """Return every fault that the text shows, in the order of lines; empty when there is none.

    Args:
        source: the program's text.
        convention: what it must define.
        inputs: what it may read.
        limits: the longest text.
    """
    found = _size_fault(source, limits)
    if found is not None:
        return (found,)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            table = symtable.symtable(source, "program", "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        detail = getattr(error, "msg", None) or str(error)
        return (Fault(FaultKind.SYNTAX, line, f"this is no Python: {detail}."),)
    except (RecursionError, MemoryError):
        return (Fault(FaultKind.SIZE, 1, "the text is nested too deeply."),)
    faults = [
        *_node_faults(tree, inputs, convention),
        *_top_level_faults(tree),
        *_function_faults(tree, convention, inputs),
        *_unknown_names(tree, table),
        *_unknown_keys(tree, convention, inputs),
    ]
    return tuple(sorted(set(faults), key=lambda fault: (fault.line, fault.kind, fault.message)))


def _size_fault(source: str, limits: Limits) -> Fault | None:
    """Refuse texts that could exhaust the parser, which runs in our own process."""
    if len(source) > limits.source:
        message = f"the text has {len(source)} characters, at most {limits.source} are allowed."
        return Fault(FaultKind.SIZE, 1, message)
    for number, line in enumerate(source.split("\n"), 1):
        if len(line) > _LINE:
            message = f"a line has {len(line)} characters, at most {_LINE} are allowed."
            return Fault(FaultKind.SIZE, number, message)
    depth = tokens = unary = branches = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
            depth += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
            tokens = 0 if token.type == tokenize.NEWLINE else tokens + 1
            unary = unary + 1 if token.string in ("-", "+", "~", "not", "lambda") else 0
            branches += token.string in ("elif", "else")
            if depth > _NESTING or tokens > _TOKENS_PER_LINE or unary > _UNARY or branches > 500:
                place = token.start[0]
                return Fault(FaultKind.SIZE, place, "the text is nested too deeply or too long.")
    except (tokenize.TokenError, SyntaxError):
        pass  # The parser says it better.
    return None


def _node_faults(
    tree: ast.Module, inputs: ProgramInputs, convention: Convention
) -> Iterator[Fault]:
    documentation = {
        node.value for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }  # fmt: skip
    protected = {"obs", "prev_obs", "info", "action", *inputs.identifiers}
    protected |= {PREVIOUS + word for word in inputs.identifiers}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        if type(node) in _FORBIDDEN_STATEMENTS:
            word = _FORBIDDEN_STATEMENTS[type(node)]
            yield Fault(FaultKind.FORBIDDEN_STATEMENT, line, f"{word!r} is not allowed.")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _import_faults(node)
        elif isinstance(node, ast.While) and _is_endless(node):
            message = "this loop has no way out; use 'for ... in range(...)'."
            yield Fault(FaultKind.UNBOUNDED_LOOP, line, message)
        elif isinstance(node, ast.FunctionDef) and node.decorator_list:
            yield Fault(FaultKind.FORBIDDEN_STATEMENT, line, "decorators are not allowed.")
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if _base(node, convention) in protected:
                yield Fault(FaultKind.MUTATION, line, _mutation(_base(node, convention)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _CHANGING and _base(node.func, convention) in protected:
                yield Fault(FaultKind.MUTATION, line, _mutation(_base(node.func, convention)))
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            message = "attributes cannot be assigned; keep values in state['name']."
            yield Fault(FaultKind.FORBIDDEN_STATEMENT, line, message)
        yield from _word_faults(node, line, documentation)


def _word_faults(node: ast.AST, line: int, documentation: set[ast.Constant]) -> Iterator[Fault]:
    words = [getattr(node, field, None) for field in ("id", "attr", "name", "arg", "asname")]
    for word in words:
        if isinstance(word, str) and word.startswith("_") and word != "_":
            message = f"{word!r} begins with an underscore; such names are not allowed."
            yield Fault(FaultKind.DUNDER, line, message)
    text = isinstance(node, ast.Constant) and isinstance(node.value, str) and "__" in node.value
    if text and node not in documentation:
        yield Fault(FaultKind.DUNDER, line, "'__' is not allowed in a string.")
    if isinstance(node, ast.Name) and node.id in _FORBIDDEN_NAMES:
        message = f"{node.id!r} is not allowed in a reward: it computes from its arguments only."
        yield Fault(FaultKind.FORBIDDEN_NAME, line, message)


def _mutation(name: str | None) -> str:
    return f"{name!r} is an input and cannot be changed; keep values in state['name']."


def _base(node: ast.Subscript | ast.Attribute, convention: Convention) -> str | None:
    """Return the name whose parts ``node`` reaches into; for ``self.x`` that of the attribute."""
    inner: ast.expr = node.value
    while isinstance(inner, ast.Subscript | ast.Attribute):
        owner = inner.value
        if convention is Convention.SCALAR and isinstance(owner, ast.Name) and owner.id == "self":
            return inner.attr if isinstance(inner, ast.Attribute) else None
        inner = owner
    return inner.id if isinstance(inner, ast.Name) else None


def _import_faults(node: ast.Import | ast.ImportFrom) -> Iterator[Fault]:
    names = [alias.name for alias in node.names]
    modules = names if isinstance(node, ast.Import) else [node.module or "."]
    for module in modules:
        if module not in MODULES or (isinstance(node, ast.ImportFrom) and "*" in names):
            message = f"{module!r} cannot be imported; math and np are there without an import."
            yield Fault(FaultKind.IMPORT, node.lineno, message)


def _is_endless(node: ast.While) -> bool:
    if not isinstance(node.test, ast.Constant) or not node.test.value:
        return False
    return not any(_leaves(statement, own=True) for statement in node.body)


def _leaves(node: ast.AST, *, own: bool) -> bool:
    """Whether a statement may leave the loop around it; ``own``: a ``break`` here is the loop's."""
    if isinstance(node, ast.Return | ast.Raise) or (isinstance(node, ast.Break) and own):
        return True
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        return False
    inside = own and not isinstance(node, ast.For | ast.While)
    return any(_leaves(child, own=inside) for child in ast.iter_child_nodes(node))


def _top_level_faults(tree: ast.Module) -> Iterator[Fault]:
    for node in tree.body:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, _TOP_LEVEL) and not text and type(node) not in (ast.ClassDef,):
            message = "only functions, constants and imports may stand outside of functions."
            yield Fault(FaultKind.FORBIDDEN_STATEMENT, node.lineno, message)


def _function_faults(
    tree: ast.Module, convention: Convention, inputs: ProgramInputs
) -> Iterator[Fault]:
    found = required(tree, convention)
    for name in REQUIRED_FUNCTIONS[convention]:
        missing = not found if convention is Convention.COMPONENTS else True
        if missing and name not in [function.name for function in found]:
            last = max((getattr(node, "end_lineno", 1) or 1 for node in tree.body), default=1)
            message = f"the {convention} convention needs a function {name!r}; it is not there."
            yield Fault(FaultKind.MISSING_FUNCTION, last, message)
    for function in found:
        yield from _signature_faults(function, convention, inputs)
        for line in _missing_returns(function):
            message = f"{function.name!r} must return a value on every path; here it returns None."
            yield Fault(FaultKind.NO_RETURN, line, message)


def _signature_faults(
    function: ast.FunctionDef, convention: Convention, inputs: ProgramInputs
) -> Iterator[Fault]:
    arguments = function.args
    names = tuple(arg.arg for arg in arguments.args)
    odd = [*arguments.posonlyargs, *arguments.kwonlyargs, *arguments.defaults]
    if odd or arguments.vararg or arguments.kwarg:
        message = f"{function.name!r} must have plain parameters without defaults."
        yield Fault(FaultKind.SIGNATURE, function.lineno, message)
    expected = SIGNED_PARAMETERS if convention is Convention.SIGNED else SCALAR_PARAMETERS
    if convention is not Convention.COMPONENTS and names != expected:
        message = (
            f"{function.name!r} must have the parameters ({', '.join(expected)}), "
            f"got ({', '.join(names)})."
        )
        yield Fault(FaultKind.SIGNATURE, function.lineno, message)
    if convention is Convention.COMPONENTS:
        known = {*ARGUMENTS, *inputs.identifiers, *(PREVIOUS + one for one in inputs.identifiers)}
        for name in names:
            if name not in known:
                yield Fault(
                    FaultKind.UNDECLARED, function.lineno, _unknown("parameter", name, known)
                )


def _missing_returns(function: ast.FunctionDef) -> Iterator[int]:
    for node in _own_nodes(function):
        if isinstance(node, ast.Return):
            empty = node.value is None
            if empty or (isinstance(node.value, ast.Constant) and node.value.value is None):
                yield node.lineno
    if not _returns(function.body):
        yield function.body[-1].lineno


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Return what lies inside a function, without the functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child
            yield from _own_nodes(child)


def _returns(body: list[ast.stmt]) -> bool:
    """Whether no path runs off the end of these statements."""
    last = body[-1]
    if isinstance(last, ast.Return | ast.Raise):
        return True
    if isinstance(last, ast.If):
        return bool(last.orelse) and _returns(last.body) and _returns(last.orelse)
    if isinstance(last, ast.While):
        constant = isinstance(last.test, ast.Constant) and bool(last.test.value)
        return constant and not any(isinstance(node, ast.Break) for node in ast.walk(last))
    if isinstance(last, ast.Try):
        done = _returns(last.orelse) if last.orelse else _returns(last.body)
        return (last.finalbody != [] and _returns(last.finalbody)) or (
            done and all(_returns(handler.body) for handler in last.handlers)
        )
    if isinstance(last, ast.Match):
        default = last.cases[-1]
        wild = isinstance(default.pattern, ast.MatchAs) and default.pattern.pattern is None
        return wild and default.guard is None and all(_returns(case.body) for case in last.cases)
    return False


def _unknown_names(tree: ast.Module, table: symtable.SymbolTable) -> Iterator[Fault]:
    own = {symbol.get_name() for symbol in table.get_symbols() if _bound(symbol)}
    known = own | BUILTINS | set(GIVEN)
    tables, unknown = [table], set()
    while tables:
        scope = tables.pop()
        tables += scope.get_children()
        for symbol in scope.get_symbols():
            free = symbol.is_global() or scope is table
            if free and symbol.is_referenced() and symbol.get_name() not in known:
                unknown.add(symbol.get_name())
    for name in sorted(unknown - _FORBIDDEN_NAMES):
        if name.startswith("_"):
            continue
        lines = [
            node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name
        ]
        yield Fault(FaultKind.UNDECLARED, min(lines, default=1), _unknown("name", name, known))


def _bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def _unknown_keys(
    tree: ast.Module, convention: Convention, inputs: ProgramInputs
) -> Iterator[Fault]:
    known = {"obs": inputs.identifiers, "prev_obs": inputs.identifiers, "info": INFO_KEYS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            owner, key = node.value, node.slice.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", None)
            if name in known and key not in known[name]:
                message = _unknown(f"entry of {name}", str(key), known[name])
                yield Fault(FaultKind.UNDECLARED, node.lineno, message)
        if convention is Convention.SCALAR and isinstance(node, ast.Attribute):
            attributes = (*inputs.identifiers, *ARGUMENTS)
            selfish = isinstance(node.value, ast.Name) and node.value.id == "self"
            if selfish and node.attr not in attributes and not node.attr.startswith("_"):
                message = _unknown("attribute of self", node.attr, attributes)
                yield Fault(FaultKind.UNDECLARED, node.lineno, message)


def _unknown(kind: str, name: str, known: object) -> str:
    names = sorted(str(each) for each in known)  # type: ignore[attr-defined]
    nearest = nearest_name(name, names)
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    return f"unknown {kind} {name!r}.{hint}"
