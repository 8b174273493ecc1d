"""What others write into files is printed as it stands: no markup, no steering of the terminal, no crash."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phaseno_peft.campaign import Finding
from phaseno_peft.cli.console import LogFormatter, Terminal, findings_json, spelled_out
from tests.cli.test_commands import inputs, run

HOSTILE = [
    "[/x]",
    "[red]",
    "[bold]a[/bold]",
    "x[/",
    "[link=http://a]b",
    ":skull:",
    "a\\[b]",
    "[=(",
    "[#1]",
    "[@click=x]",
]
STEERING = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x08\x08", "\r", "\u202egnp", "\udcff", "\x00", "\u2028"]


@pytest.fixture
def spoken(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[str, str]]:
    """Standard output and error since the last call."""
    monkeypatch.setenv("COLUMNS", "200")

    def read() -> tuple[str, str]:
        seen = capfd.readouterr()
        return seen.out, seen.err

    return read


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_not_read_as_markup_anywhere(text: str, spoken: Callable[[], tuple[str, str]]) -> None:
    terminal = Terminal()
    terminal.say(f"say {text}")
    terminal.warn(f"warn {text}")
    terminal.tell([Finding("note", f"note {text}"), Finding("warning", f"XX.A.: tell {text}")])
    terminal.show(f"show {text}")
    terminal.show_rows([{f"head {text}": f"cell {text}"}], title=f"title {text}")
    out, err = spoken()
    assert all(f"{word} {text}" in err for word in ("say", "warn", "tell", "note"))
    assert all(f"{word} {text}" in out for word in ("show", "head", "cell", "title"))


@pytest.mark.parametrize("text", STEERING)
def test_characters_that_steer_a_terminal_are_spelled_out(
    text: str, spoken: Callable[[], tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal, where rich lets escape sequences through
    terminal = Terminal()
    terminal.say(text)
    terminal.show(text)
    terminal.show_rows([{text: text}], title=text)
    terminal.show_json({text: text})
    record = logging.LogRecord("obspy", logging.WARNING, "", 0, "%s", (text,), None)
    out, err = spoken()
    shown = out + err + LogFormatter("%(message)s").format(record)
    for harmless in ("\x1b[0m", "\x1b[1m", "\x1b[3m", "\x1b[2m", "\x1b[1;34m", "\x1b[32m"):  # rich's own colours
        shown = shown.replace(harmless, "")
    assert not {c for c in text if spelled_out(c) != c} & set(shown)


def test_what_is_spelled_out_can_be_read() -> None:
    assert spelled_out("a\x1b[31mb\n\tc") == "a\\x1b[31mb\n\tc"
    assert spelled_out("Þingvellir 東京 é") == "Þingvellir 東京 é"
    assert spelled_out("東", "ascii") == "\\u6771"
    assert spelled_out(spelled_out("\x1b\udc80")) == spelled_out("\x1b\udc80")


def test_progress_takes_its_text_as_it_stands(
    spoken: Callable[[], tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Terminal().bar("reading [/x] \x1b[2J") as update:
        update(1, 2)
    assert "reading [/x] \\x1b[2J" in spoken()[1]


def test_many_findings_are_few_lines_with_the_warnings_first(spoken: Callable[[], tuple[str, str]]) -> None:
    findings = [Finding("note", f"note {n}") for n in range(500)]
    findings += [Finding("warning", f"left out: file{n}.mseed is broken") for n in range(300)]
    findings += [Finding("warning", f"XX.S{n:03d}.: HHZ is clipped") for n in range(100)] * 3
    Terminal().tell(findings)
    lines = spoken()[1].splitlines()
    assert len(lines) == 26
    assert lines[0] == "warning: left out: file0.mseed is broken"
    assert lines[12] == "warning: and 289 more warnings; --json lists all."
    assert lines[25].endswith("and 488 more notes; --json lists all.")
    Terminal(quiet=True).tell(findings)
    assert not [line for line in spoken()[1].splitlines() if "note" in line]
    assert len(findings_json(findings)["findings"]) == len(findings)


def test_a_few_stations_that_share_a_finding_share_a_line(spoken: Callable[[], tuple[str, str]]) -> None:
    Terminal().tell([Finding("warning", f"XX.S{n}.00: HHZ is clipped; it is kept.") for n in range(9)])
    expected = "warning: XX.S0.00, XX.S1.00, XX.S2.00, XX.S3.00 and 5 more: HHZ is clipped; it is kept.\n"
    assert spoken()[1] == expected


def test_paths_with_markup_survive_every_command(
    home: Path, campaign_folder: Path, small_backbone: Path, tmp_path: Path
) -> None:
    strange = tmp_path / "a[red]b \x1b[31m [" / "x]"  # a slash parts folders: "[/x]" is a path of two
    strange.mkdir(parents=True)
    shown = spelled_out(str(strange))
    stations = ["--stations", campaign_folder / "stations.xml"]
    done = run(
        "pick", campaign_folder / "continuous", *stations, "--frozen", "--backbone", small_backbone,
        "--out", strange / "picks.csv", home=home,
    )  # fmt: skip
    assert (done.returncode, shown in done.stdout) == (0, True), done.stderr
    done = run("simulate", "ohio-frac", "--out", strange / "made", "--events", 1, home=home)
    assert (done.returncode, shown in done.stdout) == (0, True), done.stderr
    for words in (
        ["train-adapter", "one", *inputs(campaign_folder, waveforms=strange / "none")],
        ["evaluate", strange / "adapter", *inputs(campaign_folder)],
        ["adapters", "show", strange / "adapter"],
        ["backbone", "info", strange / "backbone"],
        ["pick", strange / "none", *stations, "--frozen", "--out", tmp_path / "x.csv"],
    ):
        done = run(*words, home=home)
        assert done.returncode == 2
        assert shown in done.stderr
        assert "Traceback" not in done.stderr
        assert "\x1b[31m" not in done.stdout + done.stderr


def test_names_in_an_adapters_files_are_shown_as_they_stand(home: Path, tiny: Path, tmp_path: Path) -> None:
    import shutil

    own = tmp_path / "home"
    strange = own / "adapters" / "damaged"
    shutil.copytree(tiny, strange)
    (strange / "manifest.json").write_text('{"files": {"[/x]\\u001b[2J": "0"}}')
    done = run("adapters", "list", home=own)
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stdout
    done = run("adapters", "verify", home=own)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_path_the_terminal_cannot_show_is_spelled_out(
    campaign_folder: Path, small_backbone: Path, tmp_path: Path
) -> None:
    out = os.fsencode(tmp_path) + b"/\xff\xc3\xa9.csv"
    words = [
        b"pick", os.fsencode(campaign_folder / "continuous"), b"--stations",
        os.fsencode(campaign_folder / "stations.xml"), b"--frozen", b"--backbone", os.fsencode(small_backbone),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PHASENO_PEFT_HOME": str(tmp_path),
    }
    for last in ([b"--json"], []):
        command = [os.fsencode(sys.executable), b"-m", b"phaseno_peft", *words, b"--overwrite", b"--out", out, *last]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        assert b"\\udcff" in done.stdout or b"\\xff" in done.stdout
        if last:
            json.loads(done.stdout)
    assert [os.fsencode(p.name) for p in tmp_path.glob("*.csv")] == [b"\xff\xc3\xa9.csv"]
