"""A page is one file that needs nothing, runs nothing, and believes no text it is given."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.figure import Figure

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.report import (
    INK,
    P_INK,
    Leaf,
    Link,
    Page,
    Picture,
    Section,
    Table,
    Tile,
    inline_svg,
    render_page,
    write_page,
)
from phaseno_peft.report.page import OPEN_FINDINGS


def drawing(text: str = "seconds") -> Figure:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "o", color=P_INK)
    axes.fill_between([0, 1], [0, 1], color=INK)
    axes.set_xlabel(text)
    return figure


def page(**parts: object) -> Page:
    return Page(title="Check of a<b", verdict="Fine.", severity="note", **parts)  # type: ignore[arg-type]  # by field


def test_texts_of_strangers_stay_texts() -> None:
    strange = "<script>alert(1)</script>"
    html = render_page(
        page(
            findings=[Finding("warning", strange, strange, strange, strange, strange, strange)],
            tiles=[Tile(strange, strange)],
            sections=[Section(strange, [strange], (), [Table([strange], [[strange]], strange)])],
            footer=strange,
        )
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 12
    assert "<title>Check of a&lt;b</title>" in html
    assert "<script" not in inline_svg(drawing(strange), "a", strange)


def test_figures_take_the_colours_of_the_page_and_keep_their_ids_apart() -> None:
    first, second = inline_svg(drawing(), "first", "a line"), inline_svg(drawing(), "second", "a line")
    assert "var(--ink)" in first
    assert "var(--p-ink)" in first
    assert INK not in first
    assert P_INK not in first
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip((first, second), ids, strict=True):
        assert {used for pair in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg) for used in pair if used} <= own
    assert re.match(r'<svg [^>]*viewBox="[^"]*"[^>]* role="img" aria-label="a line">', first)
    assert not re.match(r"<svg[^>]*\swidth=", first)


def test_the_same_figure_gives_the_same_text() -> None:
    assert inline_svg(drawing(), "a", "b") == inline_svg(drawing(), "a", "b")


def test_many_findings_of_a_kind_unfold_and_errors_come_first() -> None:
    findings = [Finding("warning", f"w{k}", "gap") for k in range(OPEN_FINDINGS + 3)] + [Finding("error", "e", "split")]
    html = render_page(page(findings=findings))
    assert "<summary>3 more</summary>" in html
    assert html.index("error</span>: split") < html.index("warning</span>: gap")


def test_a_page_is_written_whole_with_its_figures(tmp_path: Path) -> None:
    section = Section("Noise", ("One.",), [Picture(inline_svg(drawing(), "n", "n"), "Caption.", is_wide=True)])
    path = write_page(page(sections=[section]), tmp_path / "index.html")
    html = path.read_text(encoding="utf-8")
    assert '<figure class="wide">' in html
    assert '<a href="#noise">Noise</a>' in html
    assert not re.search(r"https?://|<link|<script|@import", html)


def test_leaves_lead_to_the_one_before_and_the_next_and_tables_lead_to_leaves() -> None:
    leaves = [Leaf(f"leaf-{k}", f"T{k}", "<svg></svg>", is_printed=k == 1) for k in range(3)]
    table = Table(("see", "what"), [(Link("a<b", "leaf-2"), "false")], is_long=True)
    html = render_page(
        page(lead="On what.", remarks=["Mind."], sections=[Section("Records", leaves=leaves, tables=[table])])
    )
    assert '<a href="#leaf-2">a&lt;b</a>' in html
    first, middle, last = html.split('<article class="leaf')[1:]
    assert 'href="#leaf-1">next' in first
    assert "before" not in first.split("</nav>")[0]
    assert 'href="#leaf-0">← before' in middle
    assert 'href="#leaf-2">next' in middle
    assert middle.startswith(" printed")
    assert "next" not in last.split("</nav>")[0]
    assert html.index("On what.") < html.index("Fine.") < html.index("<li>Mind.</li>")
