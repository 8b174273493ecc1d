"""The three parts of a campaign that lies in one folder, as `simulate` writes it, or that is a data set."""

from __future__ import annotations

from pathlib import Path

from phaseno_peft.campaign.seisbench_files import set_folder
from phaseno_peft.errors import CampaignError

PROVISIONAL = "to-correct"
"""File names of provisional picks, which `suggest-labels` writes; corrected ones are called `picks`."""


def parts_of_campaign(folder: str | Path) -> tuple[Path, Path | None, Path | None]:
    """(waveforms, stations, picks): `waveforms/`, `stations.*`, `picks.*` of a folder, or a set in SeisBench's format.

    Raises `CampaignError` where a part is missing, or where several files could be it.
    """
    folder = Path(folder)
    if set_folder(folder) is not None:
        return folder, None, None
    if not folder.is_dir():
        raise CampaignError(f"{folder}: no such folder. Give a campaign's folder, or a set in SeisBench's format.")
    found = []
    for part in ("waveforms", "stations", "picks"):
        fits = sorted(p for p in folder.iterdir() if p.name == part or (p.stem == part and p.is_file()))
        if len(fits) != 1:
            what = f"{len(fits)} files called {part}" if fits else f"nothing called {part}"
            if part == "picks" and not fits and (provisional := sorted(folder.glob(f"{PROVISIONAL}.*"))):
                raise CampaignError(
                    f"{folder}: its picks were not corrected yet. Correct {provisional[0].name} and save it there as "
                    f"picks{provisional[0].suffix}."
                )
            raise CampaignError(
                f"{folder}: holds {what}. A campaign's folder holds waveforms/, one stations file and one picks file, "
                "such as stations.xml and picks.xml."
            )
        found.append(fits[0])
    return found[0], found[1], found[2]
