"""Public names of a package that are imported when they are first asked for.

A package lists them once, for type checkers and for this module alike::

    if TYPE_CHECKING:
        from phaseno_peft.campaign import Campaign as Campaign
    else:
        __getattr__, __dir__, __all__ = lazy_names(__name__)
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` for the names under `if TYPE_CHECKING` in a package's `__init__`."""
    listed = _listed(package)

    def get(name: str) -> Any:
        if name not in listed:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(listed[name]), name)

    def names() -> list[str]:
        there = vars(sys.modules[package])
        others = {name for name, value in there.items() if name.startswith("__") or _is_room(value)}
        return sorted({*listed, *there.get("__all__", ()), *others})

    return get, names, sorted(listed)


def _is_room(value: Any) -> bool:
    """True for a package that has been imported, which Python makes a name of the package above it."""
    return isinstance(value, ModuleType) and hasattr(value, "__path__")


def _listed(package: str) -> dict[str, str]:
    """Name -> module it comes from."""
    spec = sys.modules[package].__spec__
    source = spec.loader.get_source(package) if spec is not None and spec.loader is not None else None  # type: ignore[attr-defined]  # all loaders of sources have it
    blocks = [node for node in ast.parse(source or "").body if isinstance(node, ast.If)]
    return {
        alias.name: node.module
        for block in blocks
        if ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
