"""The report of an evaluation: whole in itself, honest, every wrong pick two clicks away, its tables beside it."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from obspy import read_events

from phaseno_peft import evaluate
from phaseno_peft.comparison.report import write_tables
from phaseno_peft.comparison.results import Comparison, Run
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.evaluation import Evaluation
from tests.judging.browser import browser, open_page


@pytest.fixture(scope="module")
def judged(
    tmp_path_factory: pytest.TempPathFactory, adapter_home: Path, campaign_folder: Path
) -> tuple[Path, Evaluation]:
    folder = tmp_path_factory.mktemp("judged") / "report"
    return folder, of(adapter_home / "adapters" / "tiny-ohio", campaign_folder, folder)


def files_of(campaign: Path) -> tuple[Path, Path, Path]:
    return campaign / "waveforms", campaign / "stations.xml", campaign / "picks.xml"


def of(adapter: Path, campaign: Path, report: Path | None, **options: object) -> Evaluation:
    files = files_of(campaign)
    backbone = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert backbone == "small-backbone"
    return evaluate(adapter, *files, backbone=BACKBONE[0], report=report, **options)  # type: ignore[arg-type]  # by name


BACKBONE: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def _backbone(small_backbone: Path) -> None:
    BACKBONE[:] = [small_backbone]


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_first_lines_say_what_was_judged_and_what_to_do(judged: tuple[Path, Evaluation]) -> None:
    folder, made = judged
    html = (folder / "index.html").read_text(encoding="utf-8")
    words = re.sub(r"<[^>]+>", "", html.split("</head>")[1])
    assert made.about["report"] == str(folder / "index.html")
    assert re.search(
        r"Adapter tiny-ohio on \d+ held-out test events of the adapter&#39;s own campaign: \d+ windows, \d+ of them "
        r"noise, with \d+ P and \d+ S picks of a simulation\. False picks were counted in [\d.]+ minutes of noise\. ",
        words,
    )
    assert made.about["verdict"]["verdict"] == "not enough evidence"
    assert "Not enough evidence: the labels are simulated" in words
    assert words.index("held-out test events") < words.index("Not enough evidence") < words.index("Scores")


def test_the_page_needs_and_runs_nothing(judged: tuple[Path, Evaluation]) -> None:
    html = (judged[0] / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<link|<script|@import|<img", html)
    anchors = re.findall(r'\bid="([^"]+)"', html)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(anchors)


def test_every_missed_and_false_pick_leads_to_its_record(judged: tuple[Path, Evaluation]) -> None:
    folder, made = judged
    html = (folder / "index.html").read_text(encoding="utf-8")
    counts = Counter(row["outcome"] for row in rows_of(folder, "picks") if row["model"] == "adapter")
    own = [made.scores["adapter"].phase(phase) for phase in ("P", "S")]
    assert counts["missed"] == sum(score.fn for score in own) > 0
    assert counts["false"] == sum(score.fp for score in own)
    listed = html[html.index('id="missed-and-false-picks"') :]
    links = re.findall(r'<td><a href="#(record-\d+)">', listed)
    assert len(links) == counts["missed"] + counts["false"]
    leaves = re.findall(r'<article class="leaf[^"]*" id="(record-\d+)">', html)
    assert set(links) <= set(leaves)
    for name in ("worst event", "best event"):
        assert re.search(rf'<a href="#record-\d+">{name}</a>', html)
    assert 1 <= html.count('class="leaf printed"') <= 3


def test_tables_lie_beside_the_page_as_csv_and_json_and_say_the_same(judged: tuple[Path, Evaluation]) -> None:
    folder, made = judged
    for name in (
        "scores",
        "picks",
        "windows",
        "contract",
        "verdict",
        "average_precision",
        "f1_tolerance",
        "coverage",
        "reliability",
    ):
        as_json = json.loads((folder / "tables" / f"{name}.json").read_text())
        as_csv = rows_of(folder, name)
        assert len(as_csv) == len(as_json) > 0
        assert list(as_csv[0]) == list(as_json[0])
    first = rows_of(folder, "scores")[0]
    frozen = made.scores["frozen"].phase("P", 0.5)
    assert (first["model"], float(first["f1"]), int(first["fn"])) == ("frozen", frozen.f1, frozen.fn)
    assert float(first["adapter_minus_it"]) == pytest.approx(made.scores["adapter"].phase("P", 0.5).f1 - frozen.f1)
    assert len(rows_of(folder, "windows")) == made.scores["adapter"].n_windows
    assert {"field": "provenance.label_source", "value": "simulated"} in rows_of(folder, "contract")


def test_more_noise_moves_false_picks_and_never_f1(adapter_home: Path, campaign_folder: Path, tmp_path: Path) -> None:
    waveforms, stations, picks = files_of(campaign_folder)
    few = read_events(str(picks))
    few.events = few.events[-2:]  # what the others leave behind counts as noise here
    few.write(str(tmp_path / "few.xml"), "QUAKEML")
    adapter, files = adapter_home / "adapters" / "tiny-ohio", (waveforms, stations, tmp_path / "few.xml")
    without = evaluate(adapter, *files, backbone=BACKBONE[0], noise_hours=0.0)
    made = evaluate(adapter, *files, backbone=BACKBONE[0], report=tmp_path / "report")
    assert made.scores["adapter"].to_json() == without.scores["adapter"].to_json()
    n, windows = made.scores["adapter"].n_windows, rows_of(tmp_path / "report", "windows")
    assert [row["in_f1"] for row in windows] == ["True"] * n + ["False"] * (len(windows) - n)
    assert len(windows) > n
    further = {row["window"] for row in windows[n:]}
    own = [row for row in rows_of(tmp_path / "report", "picks") if row["model"] == "adapter"]
    assert {row["outcome"] for row in own if row["window"] in further} == {"false"}
    before, after = (each.about["verdict"]["evidence"] for each in (without, made))
    noise_h = sum(float(row["hours_of_noise"]) for row in windows)
    assert before["noise_hours"] < after["noise_hours"] == pytest.approx(noise_h, abs=1e-5)
    false = sum(row["is_noise_window"] == "True" for row in own)
    assert after["false_per_hour"]["value"] == pytest.approx(false / noise_h, rel=1e-3)
    assert after["more_false_per_hour"]["value"] == pytest.approx(
        after["false_per_hour"]["value"] - after["frozen_false_per_hour"]
    )
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert re.search(rf"noise, {len(windows) - n} windows of it beyond those of F1\.", html)
    listed = html[html.index('id="missed-and-false-picks"') :]
    n_wrong = sum(row["outcome"] in ("false", "missed") for row in own)
    assert len(re.findall(r'<td><a href="#record-\d+">', listed)) == n_wrong
    with pytest.raises(PhasenoPeftError, match="`noise_hours` should be 0 to 24 but is -1"):
        evaluate(adapter, *files, backbone=BACKBONE[0], noise_hours=-1.0)


def test_figures_lie_beside_the_page_as_png_and_svg(judged: tuple[Path, Evaluation]) -> None:
    figures = judged[0] / "figures"
    names = {path.stem for path in figures.glob("*.svg")}
    assert (
        names
        == {path.stem for path in figures.glob("*.png")}
        >= {"scores", "residuals", "record-1", "precision_recall"}
    )
    for name in ("scores", "precision_recall", "record-1"):
        pixels = matplotlib.image.imread(figures / f"{name}.png")[..., :3].min(axis=-1)
        assert np.count_nonzero(pixels < 0.9) > 500
        assert "<svg" in (figures / f"{name}.svg").read_text()
        assert "var(--" not in (figures / f"{name}.svg").read_text()


def test_a_report_is_replaced_when_asked_and_nothing_else_ever_is(
    judged: tuple[Path, Evaluation], adapter_home: Path, campaign_folder: Path, tmp_path: Path
) -> None:
    adapter = adapter_home / "adapters" / "tiny-ohio"
    with pytest.raises(PhasenoPeftError, match="exists already"):
        of(adapter, campaign_folder, judged[0])
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(PhasenoPeftError, match="holds no report"):
        of(adapter, campaign_folder, mine, overwrite=True)
    with pytest.raises(PhasenoPeftError, match="is no folder"):
        of(adapter, campaign_folder, mine / "thesis.tex", overwrite=True)
    assert (mine / "thesis.tex").read_text() == "years of work"


CONTRAST = """() => {
  const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
    .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const paper = getComputedStyle(document.body).backgroundColor;
  return [...document.querySelectorAll("h1, h2, p, li, td, th, figcaption, a, dt, dd, footer")].map(e => {
    const a = light(getComputedStyle(e).color), b = light(paper);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }).reduce((a, b) => Math.min(a, b));
}"""
"""The least contrast of any text against the page, as WCAG 2.2 defines it."""


def test_the_page_is_readable_in_a_browser_light_and_dark_on_a_phone_and_on_a_desk(
    judged: tuple[Path, Evaluation],
) -> None:
    page_file = judged[0] / "index.html"
    papers = {}
    with browser() as opened:
        for width in (400, 1400):
            for scheme in ("light", "dark"):
                page, complaints, asked = open_page(opened, page_file, width, scheme)
                assert (complaints, asked) == ([], [])
                assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out
                verdict = page.locator(".verdict").bounding_box()
                assert verdict is not None
                assert verdict["y"] + verdict["height"] < 900  # on the first screen
                assert page.evaluate(CONTRAST) >= 4.5  # WCAG 2.2, 1.4.3, level AA
                papers[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
                page.close()
    assert papers == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 28)"}


def test_a_missed_pick_is_seen_two_clicks_from_the_top(judged: tuple[Path, Evaluation]) -> None:
    with browser() as opened:
        page, _, _ = open_page(opened, judged[0] / "index.html", 1400, "light")
        assert page.locator(".leaf:visible").count() == 1
        page.locator("header nav").get_by_text("Missed and false picks").click()
        last = page.locator("#missed-and-false-picks td a").last
        anchor = last.get_attribute("href")
        last.click()
        assert page.locator(".leaf:visible").evaluate_all("leaves => leaves.map(leaf => '#' + leaf.id)") == [anchor]
        drawn = page.locator(f"{anchor} svg").bounding_box()
        assert drawn is not None
        assert drawn["width"] > 700
        page.emulate_media(media="print")
        assert 1 <= page.locator(".leaf:visible").count() <= 3  # best, median, worst


def test_a_confidential_report_names_nothing_of_the_campaign(
    judged: tuple[Path, Evaluation], adapter_home: Path, campaign_folder: Path, tmp_path: Path
) -> None:
    made = of(adapter_home / "adapters" / "tiny-ohio", campaign_folder, tmp_path / "report", confidential=True)
    secrets = [
        *(event.resource_id.id for event in read_events(str(campaign_folder / "picks.xml"))),
        *("OF01", "OF03", "2019-03-0", "", ""),
    ]
    contract = json.loads((adapter_home / "adapters" / "tiny-ohio" / "adapter_config.json").read_text())["contract"]
    secrets[-2:] = [f"{contract['frame']['center_latitude_deg']:.3f}", contract["provenance"]["pick_times_sha256"][0]]

    def told(folder: Path) -> set[str]:
        files = [path for path in folder.rglob("*") if path.suffix in (".html", ".csv", ".json", ".svg")]
        return {secret for secret in secrets for path in files if secret in path.read_text(encoding="utf-8")}

    assert {"OF01", "2019-03-0", secrets[-2]} <= told(judged[0])  # the search finds them where they are
    assert told(tmp_path / "report") == set()
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "name no station, event, time and exact place" in html
    assert 'class="leaf' not in html
    assert rows_of(tmp_path / "report", "scores") == rows_of(judged[0], "scores")
    assert made.about["verdict"]["verdict"] == judged[1].about["verdict"]["verdict"]
    with pytest.raises(PhasenoPeftError, match="`confidential` is about the report"):
        of(adapter_home / "adapters" / "tiny-ohio", campaign_folder, None, confidential=True)


def test_trainings_with_fewer_labels_are_shown_if_they_are_of_the_same_campaign_and_backbone(
    adapter_home: Path, campaign_folder: Path, tmp_path: Path
) -> None:
    adapter = adapter_home / "adapters" / "tiny-ohio"
    contract = json.loads((adapter / "adapter_config.json").read_text())["contract"]
    scores = evaluate(adapter, *files_of(campaign_folder), backbone=BACKBONE[0]).scores["frozen"]
    runs = [
        Run(recipe, "some", seed, n, trainable, 1, 1, 60.0, scores, scores, scores, scores)
        for recipe, trainable, events in (("frozen", 0, (0,)), ("cr-lora", 100, (3, 10)))
        for n in events
        for seed in (0, 1)
    ]
    name, digest = contract["provenance"]["campaign"], contract["backbone_fingerprint"]

    def written(folder: Path, comparison: Comparison) -> Path:
        write_tables(comparison, folder)
        return folder

    right = written(tmp_path / "right", Comparison(name, "Parted so.", "small", digest, runs))
    of(adapter, campaign_folder, tmp_path / "report", few_shot=right)
    found = rows_of(tmp_path / "report", "few_shot")
    assert [(r["recipe"], r["labelled_events"], r["seeds"]) for r in found] == [
        ("frozen", "0", "2"),
        ("cr-lora", "3", "2"),
        ("cr-lora", "10", "2"),
    ]
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "Few labels" in html
    assert "Parted so. Each point is a training by itself" in html
    assert (tmp_path / "report" / "figures" / "few_shot.svg").is_file()
    other = written(tmp_path / "other", Comparison(name, "", "another", "0" * 64, runs))
    elsewhere = written(tmp_path / "elsewhere", Comparison("bc", "", "small", digest, runs))
    (tmp_path / "empty").mkdir()
    for folder, message in (
        (other, "compares on the backbone 'another'"),
        (elsewhere, "compares on the campaign 'bc'"),
        (tmp_path / "empty", "holds no comparison.json"),
    ):
        with pytest.raises(PhasenoPeftError, match=message):
            of(adapter, campaign_folder, tmp_path / "again", few_shot=folder)
    (right / "comparison.json").write_text("{}")
    with pytest.raises(PhasenoPeftError, match=r"comparison\.json: cannot be read"):
        of(adapter, campaign_folder, tmp_path / "again", few_shot=right)
    with pytest.raises(PhasenoPeftError, match="`few_shot` is about the report"):
        of(adapter, campaign_folder, None, few_shot=right)


def test_picks_that_are_all_unusable_are_refused(adapter_home: Path, campaign_folder: Path, tmp_path: Path) -> None:
    catalogue = read_events(str(campaign_folder / "picks.xml"))
    for event in catalogue:
        for pick in event.picks:
            pick.evaluation_status = "rejected"
    catalogue.write(str(tmp_path / "picks.xml"), format="QUAKEML")
    for name in ("waveforms", "stations.xml"):
        (tmp_path / name).symlink_to(campaign_folder / name)
    with pytest.raises(CampaignError, match="none of its usable picks"):
        of(adapter_home / "adapters" / "tiny-ohio", tmp_path, None)
