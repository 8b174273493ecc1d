"""PEFT knows CR-LoRA as soon as both have been imported, in whichever order; nothing here imports PEFT.

PEFT has no way for other packages to announce a method, and its import takes seconds, which a user who only picks
shall not wait for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

METHOD = "phaseno_peft.cr_lora.model"
"""Importing this registers the method."""


class _AfterPeft(MetaPathFinder):
    """Finds `peft` as the other finders do, and has the method registered once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "peft":
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in others if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                if self in sys.meta_path:  # until now: a spec may be asked for without being loaded
                    sys.meta_path.remove(self)
                import_module(METHOD)

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]  # of this one loader
        return spec


def register_with_peft() -> None:
    """Now if PEFT is imported already, else once it is."""
    if "peft" in sys.modules:
        import_module(METHOD)
    else:
        sys.meta_path.insert(0, _AfterPeft())
