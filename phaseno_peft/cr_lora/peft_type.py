"""The name CRLORA in PEFT's enumeration of methods, which has no public way to be extended."""

from __future__ import annotations

from typing import Any

from peft.utils.peft_types import PeftType

from phaseno_peft.cr_lora.settings import PEFT_TYPE


def _register() -> Any:
    if PEFT_TYPE in PeftType.__members__:
        return PeftType[PEFT_TYPE]
    member = str.__new__(PeftType, PEFT_TYPE)
    member._name_ = member._value_ = PEFT_TYPE
    member.__objclass__ = PeftType
    member._sort_order_ = len(PeftType._member_names_)
    type.__setattr__(PeftType, PEFT_TYPE, member)  # EnumType refuses plain assignment; must precede the maps
    PeftType._member_map_[PEFT_TYPE] = member
    PeftType._member_names_.append(PEFT_TYPE)
    PeftType._value2member_map_[PEFT_TYPE] = member
    return member


CRLORA = _register()
"""`PeftType.CRLORA`."""
