"""JSON that anybody may have written: bounded before it is parsed, checked field by field after.

Declarations are the dataclasses themselves: `Annotated` types say range, length and pattern. pydantic does the checking
and is imported when the first file is read, so that the command line starts at once.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

from annotated_types import Ge, Le, MaxLen

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
DEEPEST = 24
"""Levels of nesting; evaluation.json, the deepest of our files, has 8."""
LONGEST_NUMBER = 40
"""Characters of a number; a float64 needs 25."""
_STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}


class Rule:
    """A condition beyond type and range, in `Annotated`; `words` complete the sentence "`field` should ..."."""

    def __init__(self, holds: Callable[[Any], bool], words: str) -> None:
        self.holds, self.words = holds, words

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        if not self.holds(value):
            raise ValueError(f"Input should {self.words}")
        return value


def _printable(text: str) -> bool:
    return text.isprintable()


def _digest(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None


Count = Annotated[int, Ge(0), Le(10**9)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Line = Annotated[str, MaxLen(4000), Rule(_printable, "be one line of printable characters")]
Word = Annotated[str, MaxLen(200), Rule(_printable, "be one line of printable characters")]
Text = Annotated[str, MaxLen(200_000)]
Digest = Annotated[str, Rule(_digest, "be a SHA-256, 64 hexadecimal digits")]
DigestOrEmpty = Annotated[str, Rule(lambda text: not text or _digest(text), "be a SHA-256 or empty")]


def strict(kind: type[T]) -> type[T]:
    """Decorator of dataclasses that are read from JSON: no other fields, no conversions, no NaN, no infinity."""
    kind.__pydantic_config__ = _STRICT  # type: ignore[attr-defined]  # pydantic's hook for plain dataclasses
    return kind


def read_object(path: Path, largest_bytes: int) -> dict[str, Any]:
    """The JSON object in a file. Raises `ValueError` that names the file, whatever the file is."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            text = file.read(largest_bytes + 1)
    except OSError as error:
        raise ValueError(f"{path}: not readable ({error.strerror})") from error
    if len(text) > largest_bytes:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, more than the {largest_bytes} such a file may have")
    try:
        raw = parse(text)
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: holds a {type(raw).__name__}, expected an object")
    return raw


def parse(text: bytes) -> Any:
    """JSON without what makes it ambiguous or costly: keys given twice, NaN, endless numbers, depth.

    Raises `ValueError`.
    """
    try:
        raw = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_once,
            parse_int=lambda digits: int(_short(digits)),
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None
    level: list[Any] = [raw]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return raw
    raise ValueError(f"lists or objects lie deeper in each other than {DEEPEST} levels")


def checked(kind: type[T], raw: object) -> T:
    """`raw`, plain JSON types, as the `strict` dataclass `kind`. Raises `ValueError` that names the first bad field."""
    from pydantic import ValidationError

    try:
        found: T = _adapter(kind).validate_json(json.dumps(raw))  # type: ignore[arg-type]  # a class has a hash
        return found
    except ValidationError as error:
        raise ValueError(_sentence(error)) from None
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not of plain JSON types ({error})") from None


def check_fields(kind: type, values: Mapping[str, object]) -> None:
    """Check values against the fields of a dataclass. Raises `ValueError` that names the first bad one."""
    from pydantic import ValidationError

    for field in dataclasses.fields(kind):
        try:
            _field_adapters(kind)[field.name].validate_python(values[field.name])
        except ValidationError as error:
            raise ValueError(_sentence(error, field.name)) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


@cache
def _field_adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    from pydantic import TypeAdapter

    hints = get_type_hints(kind, include_extras=True)
    return {
        field.name: TypeAdapter(hints[field.name], config={"strict": True, "allow_inf_nan": False})
        for field in dataclasses.fields(kind)
    }


def _sentence(error: ValidationError, field: str = "") -> str:
    first = error.errors(include_url=False)[0]
    where = field or ".".join(str(step) for step in first["loc"])
    words = first["msg"].removeprefix("Value error, ")
    seen = repr(first["input"])
    seen = seen if len(seen) <= 80 else f"{seen[:77]}..."
    match first["type"]:
        case "missing" | "dataclass_unexpected_args":
            return f"field `{where}` is missing"
        case "unexpected_keyword_argument":
            return f"field `{where}` is unknown"
    if words.startswith("Input should "):
        return f"`{where}` {words.removeprefix('Input ')} but is {seen}"
    return f"`{where}` is {seen}: {words}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"key {twice[:80]!r} is given twice")
    return found


def _short(digits: str) -> str:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} characters, {digits[:20]}...")
    return digits


def _finite(digits: str) -> float:
    number = float(_short(digits))
    if not math.isfinite(number):
        raise ValueError(f"the number {digits} is too large")
    return number


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON has")


def _inside(outer: dict[str, Any] | list[Any]) -> list[Any]:
    texts = outer if isinstance(outer, list) else [*outer, *outer.values()]
    for text in texts:
        if isinstance(text, str) and not text.isprintable() and _FORBIDDEN.search(text):
            raise ValueError(f"text {text[:40]!r} holds control characters or halves of a character")
    return list(texts)


_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no text of ours holds: terminals obey some of it, and files cannot be written with the rest."""
