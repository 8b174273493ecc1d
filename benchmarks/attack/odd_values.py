"""Bytes, numbers, texts and JSON as damage and malice make them."""

from __future__ import annotations

import json
import string
from typing import Any

import numpy as np

RAW = "@raw:"
"""A JSON string that begins so is written without quotes: numbers and words that `json.dumps` would not write."""


def damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Bytes with one accident: flipped, cut, doubled, zeroed, overwritten; and what it was."""
    if not content:
        return b"\0", "one byte for none"
    size, kind = (
        len(content),
        str(rng.choice(["bits", "cut", "hole", "double", "zeros", "ones", "noise", "tail", "empty"])),
    )
    first = int(rng.integers(size))
    last = min(size, first + int(rng.integers(1, max(2, size // 3))))
    if kind == "bits":
        altered = bytearray(content)
        for place in rng.integers(size, size=int(rng.integers(1, 9))):
            altered[place] ^= 1 << int(rng.integers(8))
        return bytes(altered), "flipped bits"
    parts = {
        "cut": content[:first],
        "hole": content[:first] + content[last:],
        "double": content[:last] + content[first:last] + content[last:],
        "zeros": content[:first] + bytes(last - first) + content[last:],
        "ones": content[:first] + b"\xff" * (last - first) + content[last:],
        "noise": content[:first] + rng.bytes(last - first) + content[last:],
        "tail": content + rng.bytes(int(rng.integers(1, 600))),
        "empty": b"",
    }
    return parts[kind], kind


_NUMBERS = [
    *("0", "-0.0", "-1", "2", "7", "181", "1e5", "1e39", "-1e39", "3e38", "1e309", "-1e309", "1e-320", "0.0000001"),
    *("NaN", "Infinity", "-Infinity", "99.99931", "12345.671", "4294967296", "-2147483648", "99999999999999999999"),
]


def odd_number(rng: np.random.Generator) -> str:
    """A number as text: huge, tiny, negative, none at all."""
    return str(rng.choice(_NUMBERS))


def odd_text(rng: np.random.Generator) -> str:
    """A text that a name, a code or a path should not be."""
    texts = [
        "",
        " ",
        "..",
        "../../x",
        "/etc/hostname",
        "x" * 100_000,
        "a\0b",
        "\u202egnp.exe",
        "\U0001f30b" * 50,
        "[/x]",
    ]
    texts += [
        "%s%n",
        "NaN",
        "null",
        "(.*)*(.*)*(.*)*(.*)*(.*)*X",
        "a{99999999999}",
        "(" * 3000 + ")" * 3000,
        "\ud800",
        ".*",
    ]
    return texts[int(rng.integers(len(texts)))]


def odd_json(rng: np.random.Generator) -> Any:
    """Any value that JSON, or a lax reader of it, knows."""
    kind = int(rng.integers(11))
    if kind <= 3:
        number = odd_number(rng)
        return f"{RAW}{number}"
    if kind <= 5:
        return odd_text(rng)
    if kind == 6:
        return f"{RAW}{'9' * int(rng.choice([25, 400, 6000]))}"
    if kind == 7:
        depth = int(rng.choice([10, 900, 60_000]))
        return f"{RAW}{'[' * depth}{']' * depth}"
    return [None, True, False, {}, [], "0.3", [1, 2], {"P": 0.3}, {"P": -1, "S": 2}, [[]]][int(rng.integers(10))]


def edited(raw: Any, rng: np.random.Generator) -> str:
    """Edit one place of a JSON tree another value, gone, doubled, an unknown key beside it; returns what."""
    places = list(_places(raw))
    holder, key, path = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(12))
    if kind == 0:
        del holder[key]
        return f"{path} removed"
    if kind == 1 and isinstance(holder, dict):
        name = "".join(rng.choice(list(string.ascii_lowercase), 5))
        holder[name] = odd_json(rng)
        return f"{path} beside {name}"
    if kind <= 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = holder[key] * [2, 0.5, -1, 100][int(rng.integers(4))]  # of the right kind, and believable
        return f"{path} = {holder[key]}"
    holder[key] = odd_json(rng)
    return f"{path} = {str(holder[key]).removeprefix(RAW)[:40]!r}"


def dumped(raw: Any) -> bytes:
    """JSON text with the `RAW` values written as they are."""
    text, parts = json.dumps(raw, indent=1), []
    while f'"{RAW}' in text:
        before, _, rest = text.partition(f'"{RAW}')
        value, _, text = rest.partition('"')
        parts += [before, value]
    return "".join([*parts, text]).encode("utf-8", "surrogatepass")


def _places(raw: Any, path: str = "") -> Any:
    """(holder, key, path) of everything in the tree, the fields of a contract often enough."""
    items = raw.items() if isinstance(raw, dict) else enumerate(raw)
    for key, value in items:
        yield raw, key, f"{path}.{key}".lstrip(".")
        if isinstance(value, dict | list):
            yield from _places(value, f"{path}.{key}")
