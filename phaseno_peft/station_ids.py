"""Station ids NET.STA.LOC, made of their fields and parted into them: a station code may hold dots, the others not."""

from __future__ import annotations

from phaseno_peft.errors import CampaignError


def station_fields(station_id: str) -> tuple[str, str, str]:
    """(network, station, location) of NET.STA.LOC. Only a station code can hold dots itself.

    Raises `CampaignError` for an id without all three fields.
    """
    network, _, rest = station_id.partition(".")
    code, dot, location = rest.rpartition(".")
    if not dot or not code.strip("."):
        raise CampaignError(f"station id {station_id!r} is not NET.STA.LOC. Give all three, LOC may be empty.")
    return network, code, location


def station_id_of(network: str | None, code: str, location: str | None) -> str:
    """NET.STA.LOC of three fields as formats give them; "--" is an empty location.

    Raises `CampaignError` for a dot in the network or location code, which would make two ids one.
    """
    network, location = (network or "").strip(), (location or "").strip().replace("--", "")
    if "." in network or "." in location:
        raise CampaignError(
            f"station {code!r} has network code {network!r} and location code {location!r}: neither can hold a dot."
        )
    return f"{network}.{code.strip()}.{location}"
