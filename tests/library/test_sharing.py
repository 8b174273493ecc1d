"""What leaves with an adapter: a campaign with planted words, and every byte that a push sends."""

from __future__ import annotations

import dataclasses
import getpass
import json
import re
import shutil
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from phaseno_peft import Campaign, load_adapter
from phaseno_peft.backbone import load_backbone
from phaseno_peft.errors import AdapterError, HubError
from phaseno_peft.files.manifest import read_manifest, write_manifest
from phaseno_peft.library import adapter_info, library_folder, pull_adapter, push_adapter, verify_adapters
from phaseno_peft.library import what_push_reveals as reveals
from phaseno_peft.library.sharing import SCORE_FIGURES, bare_png, discreet_contract, discreet_evaluation
from phaseno_peft.library.store import read_contract
from phaseno_peft.library.training_notes import how_scored, notes_on_training
from tests.library.machines import Machine
from tests.library.standin_hub import Repository, StandInHub

REPO = "lab/phaseno-basin"
PLANTED = {
    "network": "QZ",
    "station": "ZYXW7",
    "event": "smi:operator/event-4711",
    "file": "wellpad-kappa.mseed",
    "campaign": "Operation Kappa",
    "method": "kappa-picker",
    "times": ("2024-03-17T05:41:09", "2024-03-17 05:41", "17.03.2024", "1710654069", "2024-077", "20240317"),
    "latitude": "47.31874",
    "longitude": "8.12796",
    "path": "/data/kappa",
}
WORDS = [word for value in PLANTED.values() for word in (value if isinstance(value, tuple) else (value,))][1:]
WORDS += ["QZ.ZYXW7."]  # the network's two letters alone occur in binary files by chance


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def plant(folder: Path) -> None:
    """Words of a confidential campaign wherever an adapter's folder has room for some."""
    every = " ".join(WORDS)
    config = json.loads((folder / "adapter_config.json").read_text())
    made = config["contract"]["provenance"]
    made.update(
        campaign=PLANTED["campaign"],
        stations=[f"{PLANTED['network']}.{PLANTED['station']}."],
        split=f"by hand: {every}",
        split_sha256=dict.fromkeys(("train", "validation", "test"), "ab" * 32),
    )
    config["contract"]["frame"].update(
        center_latitude_deg=float(PLANTED["latitude"]), center_longitude_deg=float(PLANTED["longitude"])
    )
    config["contract"]["versions"]["kappa"] = PLANTED["path"]
    evaluation = json.loads((folder / "evaluation.json").read_text())
    evaluation["about"].update(campaign=PLANTED["campaign"], findings=[every], host=socket.gethostname(), path=every)
    evaluation["remark"] = evaluation["scores"]["adapter"]["remark"] = every
    evaluation["scores"][PLANTED["campaign"]] = dict(evaluation["scores"]["adapter"])
    evaluation["about"].update(training={"path": every, "epochs": 3, PLANTED["path"]: 1}, seeds=[every, {every: 1}])
    evaluation["about"]["history"] = [{"epoch": 0, "file": PLANTED["file"]}, [every, 1.5]]
    card = json.loads((folder / "card.json").read_text())
    card["notes"].append(every)
    card["tables"]["Of our own"] = every
    card["figures"][every] = "figures/record_section.png"
    for file, content in (("adapter_config", config), ("evaluation", evaluation), ("card", card)):
        (folder / f"{file}.json").write_text(json.dumps(content))
    (folder / "README.md").write_text(f"# Ours\n{every}\n")
    for figure in (folder / "figures").iterdir():
        png = figure.read_bytes()
        text = chunk(b"tEXt", b"Title\0" + every.encode()) + chunk(b"zTXt", b"Path\0\0" + zlib.compress(every.encode()))
        figure.write_bytes(png[:33] + text + png[33:] + every.encode())
    manifest = read_manifest(folder)
    assert manifest is not None
    write_manifest(folder, manifest.name, manifest.files)


def searched(content: bytes) -> str:
    """Text of a file or a request, what is compressed in a PNG included."""
    found = [content]
    for at in (match.start() for match in re.finditer(rb"zTXt|iTXt|eXIf|IDAT", content)):
        size = int.from_bytes(content[at - 4 : at], "big")
        part = content[at + 4 : at + 4 + size]
        for start in range(min(len(part), 100)):
            try:
                found.append(zlib.decompressobj().decompress(part[start:]))
                break
            except zlib.error:
                continue
    return b"\n".join(found).decode("latin1")


def told(files: dict[str, bytes], words: list[str] = WORDS) -> dict[str, list[str]]:
    """File -> planted words in it."""
    hits = {
        file: [word for word in words if word.lower() in searched(content).lower()] for file, content in files.items()
    }
    return {file: found for file, found in hits.items() if found}


@pytest.fixture
def secret(machine: Machine, tiny: Path) -> Path:
    folder = machine.own(tiny, "basin")
    plant(folder)
    return folder


def test_the_search_finds_what_is_planted(hub: StandInHub, machine: Machine, secret: Path) -> None:
    files = {path.name: path.read_bytes() for path in secret.rglob("*") if path.is_file()}
    assert {"README.md", "evaluation.json", "card.json", "adapter_config.json", "scores.png"} <= set(told(files))
    push_adapter("basin", REPO, share="all")
    assert {"README.md", "evaluation.json"} <= set(told(hub.repositories[REPO].files))


@pytest.mark.parametrize("share", ["minimal", "scores"])
def test_a_push_names_nothing_of_the_campaign(
    hub: StandInHub, machine: Machine, secret: Path, small_backbone: Path, share: Any
) -> None:
    before = {path: path.read_bytes() for path in secret.rglob("*") if path.is_file()}
    made = push_adapter("basin", REPO, share=share, tag="v1")
    there = hub.repositories[REPO]
    assert there.private
    assert made.is_private
    host = [word for word in (socket.gethostname(), getpass.getuser()) if len(word) > 4]  # shorter ones occur by chance
    assert told(there.files, [*WORDS, *host, str(machine.folder)]) == {}
    assert told({str(i): body for i, body in enumerate(hub.bodies)}) == {}
    assert not [line for line in hub.requests if any(word in line for word in WORDS)]
    figures = {file for file in there.files if file.endswith(".png")}
    assert figures == (set() if share == "minimal" else {f for f in SCORE_FIGURES if (secret / f).is_file()})
    assert ("evaluation.json" in there.files) == (share == "scores")
    assert {path: content for path, content in before.items() if path.read_bytes() != content} == {}  # here it is whole

    machine.use("second")
    folder = pull_adapter(f"{REPO}@v1")
    contract = read_contract(folder)
    assert (contract.frame.center_latitude_deg, contract.frame.center_longitude_deg) == (47.5, 8.0)
    assert (contract.provenance.stations, contract.provenance.split_sha256) == ([], {})
    assert contract.provenance.campaign == "basin"
    assert [each.problems for each in verify_adapters(["basin"])] == [()]
    assert load_adapter("basin", backbone=small_backbone).active_adapter == "basin"
    from peft import PeftModel

    import phaseno_peft.cr_lora.model  # noqa: F401  # registers the method

    PeftModel.from_pretrained(load_backbone(small_backbone), folder)
    again = push_adapter(
        "basin", "lab/again", share="all", force=share == "minimal"
    )  # has no more than what was shared
    assert again.is_new_commit
    assert told(hub.repositories["lab/again"].files) == {}


def test_minimal_is_the_default_and_the_card_says_what_is_not_told(
    hub: StandInHub, machine: Machine, secret: Path
) -> None:
    push_adapter("basin", REPO)
    card = hub.repositories[REPO].files["README.md"].decode()
    assert "scores are not shared" in card
    assert "rounded to 0.5 degrees" in card
    assert "model-index" not in card
    assert f'load_adapter("{REPO}")' in card
    assert not push_adapter("basin", REPO).is_new_commit


def test_what_a_push_would_reveal_is_told_without_sending_anything(
    hub: StandInHub, machine: Machine, secret: Path
) -> None:
    minimal, whole = reveals("basin", REPO), reveals("basin", REPO, share="all", public=True)
    assert not hub.requests
    push_adapter("basin", REPO)
    sent = {f: len(c) for f, c in hub.repositories[REPO].files.items() if f != ".gitattributes"}
    assert minimal.files == sent
    assert "private repositories of lab" in minimal.visible_to
    assert whole.visible_to == "everybody"
    assert told({"": "\n".join(minimal.reveals).encode()}) == {}
    for part in ("1 station codes (QZ.ZYXW7.)", "47.3187", "Operation Kappa", "times in evaluation.json", "waveforms"):
        assert any(part in line for line in whole.reveals), part
    assert any("rounded to 0.5" in line for line in minimal.reveals)
    with pytest.raises(AdapterError, match="'some' is none of minimal, scores, all"):
        reveals("basin", REPO, share="some")  # type: ignore[arg-type]  # what a script may ask
    with pytest.raises(HubError, match="organisation/name"):
        reveals("basin", "nowhere")


def test_a_repository_that_everybody_sees_is_not_pushed_to_unless_that_is_said(
    hub: StandInHub, machine: Machine, secret: Path
) -> None:
    hub.repositories[REPO] = Repository(private=False)
    hub.repositories[REPO].commit({".gitattributes": b""})
    with pytest.raises(HubError, match=r"everybody can see this repository.*--public"):
        push_adapter("basin", REPO)
    assert not [line for line in hub.requests if not line.startswith("GET ")]
    assert not push_adapter("basin", REPO, public=True).is_private
    assert push_adapter("basin", "lab/new").is_private
    assert hub.repositories["lab/new"].private


def test_a_hub_that_makes_public_what_should_be_private_gets_nothing(
    hub: StandInHub, machine: Machine, secret: Path
) -> None:
    def says_nothing(handler: Any) -> None:
        there = hub.repositories.get(REPO)
        if there is None:
            handler._error(404, "Repository Not Found", code="RepoNotFound")
        else:
            handler.send(json.dumps({"id": REPO, "sha": there.branches["main"]}).encode())

    hub.hostile[f"/api/models/{REPO}"] = says_nothing
    hub.hostile = {"/tree/": lambda handler: handler.send(b"[]"), **hub.hostile}
    with pytest.raises(HubError, match="everybody can see this repository"):
        push_adapter("basin", REPO)
    assert not hub.asked("/preupload/")


@pytest.mark.slow
def test_a_confidential_adapter_names_nothing_of_its_campaign_from_the_start(
    hub: StandInHub, machine: Machine, campaign_folder: Path, small_backbone: Path, tmp_path: Path
) -> None:
    from phaseno_peft.evaluation.judge import judge
    from phaseno_peft.training import TrainingSettings, train_adapter

    data = Path(shutil.copytree(campaign_folder, tmp_path / "kappa-data"))
    campaign = Campaign.read(data / "waveforms", data / "stations.xml", data / "picks.xml", name="Operation Kappa")
    trained = train_adapter(
        "basin",
        campaign,
        backbone=small_backbone,
        training=TrainingSettings(epochs=1),
        folds=0,
        label_source="simulated",
        confidential=True,
        report=tmp_path / "report",
    )
    folder = library_folder() / "basin"
    stations = campaign.stations
    words = [
        "Operation Kappa",
        "kappa-data",
        *(station_id for station_id in stations.station_ids),
        *(code for station_id in stations.station_ids for code in station_id.split(".")[1:2] if len(code) > 3),
        *(event for stretch in campaign.stretches() for event in stretch.event_ids),
        *(str(pick.time)[:16] for stretch in campaign.stretches() for pick in stretch.picks),
        *(path.name for path in (data / "waveforms").iterdir()),
    ]
    assert len(words) > 40
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert told(files, words) == {}
    report = tmp_path / "report"
    pages = {path.relative_to(report).as_posix(): path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert {"index.html", "tables/scores.csv", "figures/residuals.png"} <= set(pages)
    assert told(pages, words) == {}
    assert "figures/record_section.png" not in files
    assert {"evaluation.json", "figures/scores.png"} <= set(files)
    assert "precision" in files["README.md"].decode()
    assert trained.contract.provenance == adapter_info("basin").contract.provenance
    push_adapter("basin", REPO, share="all")
    assert told(hub.repositories[REPO].files, words) == {}
    picker = load_adapter("basin", backbone=small_backbone)
    assert "does not tell which events it was trained on" in judge(picker, campaign).events


def test_a_discreet_contract_keeps_what_picks_and_is_made_once(tiny: Path) -> None:
    contract = read_contract(tiny)
    discreet = discreet_contract(contract, "basin")
    assert discreet_contract(discreet, "basin") == discreet
    for field in dataclasses.fields(contract):
        if field.name not in ("frame", "provenance", "versions"):
            assert getattr(discreet, field.name) == getattr(contract, field.name), field.name
    assert discreet.frame.edge_limit_km == contract.frame.edge_limit_km
    for ours, theirs in (
        (discreet.frame.center_latitude_deg, contract.frame.center_latitude_deg),
        (discreet.frame.center_longitude_deg, contract.frame.center_longitude_deg),
    ):
        assert abs(ours - theirs) <= 0.25
        assert ours % 0.5 == 0


def test_a_bare_png_shows_the_same_picture(tiny: Path) -> None:
    from matplotlib.image import imread

    path = tiny / "figures" / "scores.png"
    png = path.read_bytes()
    planted = png[:33] + chunk(b"tEXt", b"Title\0kappa") + png[33:] + b"kappa"
    bare = bare_png(planted, "scores.png")
    assert b"kappa" not in bare
    assert bare == bare_png(png, "scores.png")
    import io

    assert (imread(io.BytesIO(bare)) == imread(path)).all()
    for bad in (b"", b"GIF89a", png[:-5], png[:60] + b"\0" + png[61:]):
        with pytest.raises(AdapterError, match=r"scores\.png: not a whole PNG"):
            bare_png(bad, "scores.png")


@pytest.mark.slow
def test_a_rounded_centre_leaves_the_picks_where_they_were(campaign_folder: Path) -> None:
    from obspy import read

    from phaseno_peft.library import read_adapter
    from phaseno_peft.picking import Picker

    stored = read_adapter(Path(__file__).resolve().parents[2] / "adapters" / "ohio-frac")
    frame, picker = stored.contract.frame, Picker.load()
    stream = read(str(campaign_folder / "continuous" / "*.mseed"))
    found = []
    for shift_deg in (0.0, 0.25):  # as far as rounding can move it
        moved = dataclasses.replace(
            frame,
            center_latitude_deg=frame.center_latitude_deg + shift_deg,
            center_longitude_deg=frame.center_longitude_deg - shift_deg,
        )
        contract = dataclasses.replace(stored.contract, frame=moved)
        name = picker.add_adapter(
            dataclasses.replace(stored, contract=contract), name=f"at-{shift_deg}".replace(".", "-")
        )
        picker.set_adapter(name)
        found.append(list(picker.classify(stream, str(campaign_folder / "stations.xml"))))
    before, after = found
    assert len(before) > 10
    for pick in before:
        if pick.probability > stored.contract.thresholds[pick.phase] + 0.05:  # the weakest may come and go
            assert any(
                (pick.trace_id, pick.phase) == (other.trace_id, other.phase) and abs(pick.time - other.time) < 0.02
                for other in after
            )


def test_what_is_confidential_still_says_that_scores_are_out_of_fold() -> None:
    folds = {"folds": 4, "events": [3, 3, 2, 2], "epoch": 5, "factor": 0.5, "choices": []}
    about = {"side": "all events, out of fold", "folds": folds, "unlabelled": [{"events": 0, "kept": False}]}
    told = discreet_evaluation({"about": about}, "basin")["about"]
    assert (told["side"], told["folds"]) == (about["side"], folds)
    notes = notes_on_training(told)
    assert "those of 4 adapters" in notes[0]
    assert "all 10 events" in notes[0]
    assert "keeps 0.5 of its update" in notes[0]
    assert "held no event" in notes[1]
    assert "The scores flatter." in how_scored({**folds, "folds": 1, "epoch": 0, "factor": 0})
