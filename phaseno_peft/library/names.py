"""What adapters are called: names that people type, and the files of an adapter's folder."""

from __future__ import annotations

import re

from phaseno_peft.errors import AdapterError
from phaseno_peft.files.manifest import MANIFEST
from phaseno_peft.hub import Kind

CONFIG, WEIGHTS, CARD, EVALUATION = "adapter_config.json", "adapter_model.safetensors", "README.md", "evaluation.json"
CARD_SOURCE = "card.json"
"""What the card says that nothing else in the folder does: `README.md` is generated from it."""
FOLDS, FOLD_WEIGHTS = "folds.json", "folds/*.safetensors"
"""Adapters of the folds, where they were kept."""
ORIGIN = "origin.json"
"""Where a pulled or pushed adapter is on the Hub: ours alone, never sent and in no manifest."""
LARGEST_JSON_BYTES = 4 << 20
LARGEST_WEIGHTS_BYTES = 64 << 20
ADAPTER = Kind(
    noun="an adapter",
    marker=CONFIG,
    weights=WEIGHTS,
    largest_bytes={
        MANIFEST: 1 << 20,
        CONFIG: LARGEST_JSON_BYTES,
        WEIGHTS: LARGEST_WEIGHTS_BYTES,
        CARD: 1 << 20,
        CARD_SOURCE: 1 << 20,
        EVALUATION: LARGEST_JSON_BYTES,
        "figures/*.png": 8 << 20,
        FOLDS: 1 << 20,
        FOLD_WEIGHTS: LARGEST_WEIGHTS_BYTES,
    },
    largest_sum_bytes=128 << 20,
)
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Words of PEFT and of the network's module tree: as adapter names they corrupt other adapters' files in stock PEFT.
_RESERVED = frozenset({"model", "weight", "bias", "conv", "edge", "aggre", "default", "frozen", "base-model"})


def is_of_folds(file: str) -> bool:
    """True for a path in an adapter's folder that belongs to the folds' adapters."""
    return file == FOLDS or file.startswith("folds/")


def is_name(name: str) -> bool:
    """True if an adapter may be called so."""
    reserved = name in _RESERVED or re.fullmatch(r"(fno|gno|fc)\d", name)
    return 2 <= len(name) <= 64 and _NAME.fullmatch(name) is not None and not reserved


def check_name(name: str) -> str:
    """Return `name` if an adapter may be called so, else raise `AdapterError`.

    Lower-case letters, digits and single hyphens, 2 to 64 characters, none of a few reserved words.
    """
    if not is_name(name):
        why = "is a reserved word" if _NAME.fullmatch(name) and 2 <= len(name) <= 64 else "is not a name"
        raise AdapterError(
            f"adapter name {name!r} {why}. Use 2 to 64 lower-case letters, digits and single hyphens, "
            "for example 'ohio-frac'."
        )
    return name
