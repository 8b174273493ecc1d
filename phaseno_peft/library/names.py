"""Names of adapters: what people type, what folders and Hub repositories are called."""

from __future__ import annotations

import re

from phaseno_peft.errors import AdapterError

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Words of PEFT and of the network's module tree: as adapter names they corrupt other adapters' files in stock PEFT.
_RESERVED = frozenset({"model", "weight", "bias", "conv", "edge", "aggre", "default", "frozen", "base-model"})


def check_name(name: str) -> str:
    """Return `name` if an adapter may be called so, else raise `AdapterError`.

    Lower-case letters, digits and single hyphens, 2 to 64 characters, none of a few reserved words.
    """
    reserved = name in _RESERVED or re.fullmatch(r"(fno|gno|fc)\d", name)
    if not 2 <= len(name) <= 64 or not _NAME.fullmatch(name) or reserved:
        why = "is a reserved word" if reserved else "is not a name"
        raise AdapterError(
            f"adapter name {name!r} {why}. Use 2 to 64 lower-case letters, digits and single hyphens, "
            "for example 'ohio-frac'."
        )
    return name
