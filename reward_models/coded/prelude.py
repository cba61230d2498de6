"""What every program finds in the sandbox: small arrays, ``np``, read-only inputs, quiet ``print``.

The text runs inside the sandbox and nowhere else. The interpreter there has no numpy; ``np`` is the
part of it that rewards use, on tuples. It differs from numpy where silence would hide a mistake:
the root or logarithm of a number outside its range, and a division by zero, are errors.
"""

from __future__ import annotations

from typing import final

MARK = "[coded] "
"""Begins the message of every error that this text raises by itself: ``[coded] kind: ...``."""

PRELUDE = '''
import json
import math

_print = print
_say = {"left": 0, "at": -1, "line": 0}


class Array:
    """A fixed vector (or rows of them): arithmetic by elements, with numbers and with arrays."""

    def __init__(self, values):
        self._x = values

    def __getitem__(self, i):
        if isinstance(i, tuple):
            found = self
            for j in i:
                found = found[j]
            return found
        if isinstance(i, slice):
            return _array(self._x[i])
        return self._x[i]

    def __setitem__(self, i, value):
        raise TypeError("[coded] mutation: inputs and arrays cannot be changed")

    def __iter__(self):
        return iter(self._x)

    def __contains__(self, value):
        return value in self._x

    def __eq__(self, other):
        return isinstance(other, Array) and list(self._x) == list(other._x)

    def __add__(self, other):
        return _array([a + b for a, b in _pairs(self, other)])

    def __radd__(self, other):
        return _array([b + a for a, b in _pairs(self, other)])

    def __sub__(self, other):
        return _array([a - b for a, b in _pairs(self, other)])

    def __rsub__(self, other):
        return _array([b - a for a, b in _pairs(self, other)])

    def __mul__(self, other):
        return _array([a * b for a, b in _pairs(self, other)])

    def __rmul__(self, other):
        return _array([b * a for a, b in _pairs(self, other)])

    def __truediv__(self, other):
        return _array([a / b for a, b in _pairs(self, other)])

    def __rtruediv__(self, other):
        return _array([b / a for a, b in _pairs(self, other)])

    def __floordiv__(self, other):
        return _array([a // b for a, b in _pairs(self, other)])

    def __mod__(self, other):
        return _array([a % b for a, b in _pairs(self, other)])

    def __pow__(self, other):
        return _array([a**b for a, b in _pairs(self, other)])

    def __matmul__(self, other):
        return _dot(self, other)

    def __neg__(self):
        return _array([-a for a in self._x])

    def __abs__(self):
        return _array([abs(a) for a in self._x])

    def sum(self):
        return _sum(self)

    def mean(self):
        return _mean(self)

    def min(self):
        return min(_flat(self))

    def max(self):
        return max(_flat(self))

    def dot(self, other):
        return _dot(self, other)

    def copy(self):
        return self

    def astype(self, kind):
        return self

    def flatten(self):
        return _array(_flat(self))

    def tolist(self):
        return [v.tolist() if isinstance(v, Array) else v for v in self._x]


def _array(values):
    return Array(tuple(values))


def _nested(values):
    return _array([_nested(v) if isinstance(v, (list, tuple)) else v for v in values])


def _pairs(a, b):
    if isinstance(b, (list, tuple)):
        b = _nested(b)
    if not isinstance(b, Array):
        return [(x, b) for x in a._x]
    x, y = a._x, b._x
    if _len(x) == _len(y) and (
        not x or isinstance(x[0], Array) == isinstance(y[0], Array)
    ):
        return zip(x, y)
    rows_a = bool(a._x) and isinstance(a._x[0], Array)
    rows_b = bool(b._x) and isinstance(b._x[0], Array)
    if rows_a and not rows_b:
        return [(x, b) for x in a._x]
    if rows_b and not rows_a:
        return [(a, y) for y in b._x]
    raise ValueError(f"arrays of {_len(x)} and {_len(y)} elements do not fit")


_len = len


def len(value):
    return _len(value._x) if isinstance(value, Array) else _len(value)


def _flat(value):
    if not isinstance(value, (Array, list, tuple)):
        return [value]
    found = []
    for part in value:
        if isinstance(part, (Array, list, tuple)):
            found.extend(_flat(part))
        else:
            found.append(part)
    return found


def _each(function, value):
    if isinstance(value, (Array, list, tuple)):
        return _array([_each(function, part) for part in value])
    return function(value)


def _sum(value, axis=None):
    if axis is not None and axis not in (-1, 0):
        raise ValueError("axis must be 0 or -1")
    rows = [part for part in value] if isinstance(value, (Array, list, tuple)) else [value]
    nested = bool(rows) and isinstance(rows[0], (Array, list, tuple))
    if axis == -1 and nested:
        return _array([_sum(row, -1) for row in rows])
    if axis == 0 and nested:
        return _array([sum([row[i] for row in rows]) for i in range(len(rows[0]))])
    return sum(_flat(value))


def _mean(value):
    numbers = _flat(value)
    return sum(numbers) / _len(numbers)


def _std(value):
    numbers = _flat(value)
    middle = sum(numbers) / _len(numbers)
    return math.sqrt(sum([(x - middle) ** 2 for x in numbers]) / _len(numbers))


def _dot(a, b):
    if isinstance(a, (Array, list, tuple)) and isinstance(b, (Array, list, tuple)):
        rows = bool(a) and isinstance(a[0], Array)
        if rows:
            return _array([_dot(row, b) for row in a])
        return sum([x * y for x, y in _pairs(_own(a), b)])
    return a * b


def _cross(a, b):
    return _array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _sign(x):
    x = float(x)
    return 1.0 if x > 0 else (-1.0 if x < 0 else 0.0)


def _clip(value, low, high):
    return _each(lambda x: low if x < low else (high if x > high else x), value)


def _both(function, a, b):
    if isinstance(a, (Array, list, tuple)):
        return _array([_both(function, x, y) for x, y in _pairs(_own(a), b)])
    if isinstance(b, (Array, list, tuple)):
        return _array([_both(function, a, y) for y in b])
    return function(a, b)


def _on_each(function):
    def apply(value):
        return _each(function, value)

    return apply


def _on_both(function):
    def apply(a, b):
        return _both(function, a, b)

    return apply


def _own(value):
    return _nested(value) if isinstance(value, (list, tuple)) else value


class _Linalg:
    def norm(self, value, axis=None):
        if axis == -1 and len(value) and isinstance(value[0], (Array, list, tuple)):
            return _array([math.sqrt(sum([x * x for x in row])) for row in value])
        if isinstance(value, Array) and value._x and not isinstance(value._x[0], Array):
            return math.sqrt(sum([x * x for x in value._x]))
        return math.sqrt(sum([x * x for x in _flat(value)]))


class _Numpy:
    linalg = _Linalg()
    ndarray = Array
    pi = math.pi
    e = math.e
    inf = math.inf
    nan = math.nan
    newaxis = None
    float32 = float
    float64 = float
    int32 = int
    int64 = int
    bool_ = bool
    array = lambda value, dtype=None: _own(value)
    asarray = lambda value, dtype=None: _own(value)
    zeros = lambda n, dtype=None: _array([0.0] * (n if isinstance(n, int) else n[0]))
    ones = lambda n, dtype=None: _array([1.0] * (n if isinstance(n, int) else n[0]))
    abs = _on_each(abs)
    absolute = _on_each(abs)
    fabs = _on_each(abs)
    sqrt = _on_each(math.sqrt)
    square = _on_each(lambda x: x * x)
    exp = _on_each(math.exp)
    log = _on_each(math.log)
    log1p = _on_each(math.log1p)
    sin = _on_each(math.sin)
    cos = _on_each(math.cos)
    tan = _on_each(math.tan)
    tanh = _on_each(math.tanh)
    arcsin = _on_each(math.asin)
    arccos = _on_each(math.acos)
    arctan = _on_each(math.atan)
    floor = _on_each(math.floor)
    ceil = _on_each(math.ceil)
    sign = _on_each(_sign)
    isfinite = _on_each(math.isfinite)
    isnan = _on_each(math.isnan)
    radians = _on_each(math.radians)
    degrees = _on_each(math.degrees)
    deg2rad = _on_each(math.radians)
    arctan2 = _on_both(math.atan2)
    hypot = _on_both(math.hypot)
    minimum = _on_both(lambda a, b: b if b < a else a)
    maximum = _on_both(lambda a, b: b if b > a else a)
    power = _on_both(lambda a, b: a**b)
    clip = _clip
    sum = _sum
    mean = lambda value: _mean(value)
    std = lambda value: _std(value)
    min = lambda value: min(_flat(value))
    max = lambda value: max(_flat(value))
    prod = lambda value: math.prod(_flat(value))
    any = lambda value: any(_flat(value))
    all = lambda value: all(_flat(value))
    argmin = lambda value: _flat(value).index(min(_flat(value)))
    argmax = lambda value: _flat(value).index(max(_flat(value)))
    dot = _dot
    cross = _cross
    where = lambda condition, a, b: a if condition else b
    concatenate = lambda parts: _array([x for part in parts for x in part])
    array_equal = lambda a, b: _flat(a) == _flat(b)
    allclose = lambda a, b, rtol=1e-5, atol=1e-8: all(
        [abs(x - y) <= atol + rtol * abs(y) for x, y in zip(_flat(a), _flat(b))]
    )


np = numpy = _Numpy


class Inputs:
    """Named values that can be read and not changed."""

    def __init__(self, values):
        self._values = values

    def __getitem__(self, name):
        if name not in self._values:
            raise KeyError(f"[coded] undeclared: unknown input {name!r} (keys must be constants)")
        return self._values[name]

    def __setitem__(self, name, value):
        raise TypeError("[coded] mutation: inputs and arrays cannot be changed")

    def _refuse(self, *args, **kwargs):
        raise TypeError("[coded] mutation: inputs and arrays cannot be changed")

    update = _refuse
    pop = _refuse
    popitem = _refuse
    clear = _refuse
    setdefault = _refuse

    def __contains__(self, name):
        return name in self._values

    def __iter__(self):
        return iter(list(self._values))

    def get(self, name, default=None):
        return self._values.get(name, default)

    def keys(self):
        return list(self._values)

    def values(self):
        return list(self._values.values())

    def items(self):
        return list(self._values.items())


class Subject:
    """The environment as an object with attributes."""


def print(*values, **options):
    for value in values:
        _say["left"] -= _len(value) if isinstance(value, str) else 8
    _say["left"] -= 1
    if _say["left"] < 0:
        raise RuntimeError("[coded] output: too much is printed; a reward prints nothing")


def _number(value, what):
    if isinstance(value, (bool, int, float)):
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
        if value - value == 0.0:
            return value
        raise ValueError(f"[coded] not_finite: {what} is {value}, expected a finite number")
    kind = type(value).__name__
    raise TypeError(f"[coded] return_type: {what} is of type {kind}, expected a number")


def _pack(value, depth=0):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth > 20:
        raise ValueError("[coded] state: state is nested more than 20 deep, or contains itself")
    if isinstance(value, list):
        return [_pack(v, depth + 1) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [_pack(v, depth + 1) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[_pack(k, depth + 1), _pack(v, depth + 1)] for k, v in value.items()]}
    if isinstance(value, Array):
        return {"array": [_pack(v, depth + 1) for v in value._x]}
    if isinstance(value, Inputs):
        return {"inputs": _pack(value._values, depth + 1)}
    if isinstance(value, frozenset):
        return {"frozenset": [_pack(v, depth + 1) for v in value]}
    if isinstance(value, set):
        return {"set": [_pack(v, depth + 1) for v in value]}
    kind = type(value).__name__
    raise TypeError(f"[coded] state: state holds a {kind}; keep numbers, text, lists, dicts, sets")


def _unpack(value):
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    if not isinstance(value, dict):
        return value
    for kind, inner in value.items():
        if kind == "dict":
            return {_unpack(k): _unpack(v) for k, v in inner}
        if kind == "inputs":
            return Inputs(_unpack(inner))
        parts = [_unpack(v) for v in inner]
        if kind == "tuple":
            return tuple(parts)
        if kind == "array":
            return _array(parts)
        return frozenset(parts) if kind == "frozenset" else set(parts)


def _stored(state, most):
    if not isinstance(state, dict):
        raise TypeError("[coded] state: state must stay a dict")
    text = json.dumps(_pack(state))
    if _len(text) > most:
        raise ValueError(f"[coded] state: {_len(text)} characters are kept, {most} are allowed")
    return text
'''


@final
class Names:
    """Names that the texts made around a program use; programs cannot say them."""

    PROGRAM = "_program"
    HERE = "_here"
    RUN = "_run"
