"""Cards: generated from the adapter's folder and the template, the same every time."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from phaseno_peft import paths
from phaseno_peft.errors import AdapterError
from phaseno_peft.library import verify_adapters
from phaseno_peft.library.card import contract_rows
from phaseno_peft.library.inventory import renew_card
from phaseno_peft.library.store import read_config, render_card


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "tiny-ohio"))


def test_the_card_states_labels_scores_contract_and_limits(tiny: Path) -> None:
    card = (tiny / "README.md").read_text()
    _, contract = read_config(tiny)
    for part in (
        "library_name: phaseno-peft",
        "base_model: small-backbone\n",
        "datasets:\n- ohio\n",
        "> **Not enough evidence**: the labels are simulated",
        "> - There are only 3 test events",
        "## Uncertainty of the picks",
        "| P | 95 % | 11 |",
        "| uncertainty of the picks | P: ±",
        "simulated records with simulated picks",
        "| P | 0.5 s | frozen |",
        f"| thresholds | P {contract.thresholds['P']:.2f}, S {contract.thresholds['S']:.2f} |",
        contract.backbone_fingerprint[:16],
        "![A held-out event: catalogue, frozen backbone and adapter](figures/record_section.png)",
        "## Limits",
        "arXiv 2512.13197",
    ):
        assert part in card
    assert "$" not in card  # no placeholder is left


def test_a_contract_as_a_table_has_no_digits_of_binary_fractions(tiny: Path) -> None:
    _, contract = read_config(tiny)
    odd = dataclasses.replace(contract, thresholds={"P": 0.1 + 0.2, "S": 0.5})
    rows = {row["field"]: row["value"] for row in contract_rows(odd)}
    assert rows["thresholds.P"] == 0.3
    assert rows["frame.center_latitude_deg"] == pytest.approx(contract.frame.center_latitude_deg, rel=1e-9)


def test_a_card_regenerates_unchanged(copy: Path) -> None:
    card = (copy / "README.md").read_text()
    assert render_card(copy, "tiny-ohio") == card
    renew_card(copy)
    assert (copy / "README.md").read_text() == card
    elsewhere = render_card(copy, "tiny-ohio", "../adapters/tiny-ohio/")
    assert elsewhere.replace("../adapters/tiny-ohio/", "") == card
    assert "](../adapters/tiny-ohio/figures/scores.png)" in elsewhere


def test_another_template_or_another_score_is_another_card(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = render_card(copy, "tiny-ohio")
    path = copy / "evaluation.json"
    raw = json.loads(path.read_text())
    raw["scores"]["adapter"]["summary"]["P"]["0.5"]["f1"] = 0.1234
    path.write_text(json.dumps(raw))
    assert "value: 0.1234" in render_card(copy, "tiny-ohio")
    assert "value: 0.1234" not in card
    (tmp_path / "assets" / "cards").mkdir(parents=True)
    (tmp_path / "assets" / "cards" / "TEMPLATE.md").write_text("# $name\n\n$limits\n")
    monkeypatch.setattr(paths, "ASSETS", tmp_path / "assets")
    assert "# tiny-ohio\n\n- P: F1 at 0.5 s changes by" in render_card(copy, "tiny-ohio")


def test_notes_are_added_once_and_the_manifest_follows(copy: Path) -> None:
    for _ in range(2):
        renew_card(copy, ["Half of the stations stood on a glacier."])
    card = (copy / "README.md").read_text()
    assert card.count("- Half of the stations stood on a glacier.") == 1
    assert [v.problems for v in verify_adapters([copy])] == [()]


def test_no_card_is_made_for_an_altered_or_a_card_less_adapter(copy: Path) -> None:
    (copy / "card.json").write_text('{"tables": {}}')
    with pytest.raises(AdapterError, match=r"card\.json: not the source of a card"):
        render_card(copy, "tiny-ohio")
    (copy / "evaluation.json").write_text("{}")
    with pytest.raises(AdapterError, match=r"evaluation\.json: 2 bytes, manifest\.json says"):
        renew_card(copy)
