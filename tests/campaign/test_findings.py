"""Findings carry where, what and the next step, and stay short for people."""

from __future__ import annotations

from phaseno_peft.campaign.findings import Finding, condense, gather, warnings_first

REVERSED = Finding("warning", "XX.A.: Z is upside down.", "reversed component", "a.mseed", "XX.A.", "-0.8", "Turn it.")


def test_a_finding_of_several_recordings_keeps_its_place_and_next_step() -> None:
    (gathered,) = gather([[REVERSED], [REVERSED], []], 3)
    assert gathered.text == "XX.A.: Z is upside down. (In 2 of 3 recordings.)"
    assert (gathered.kind, gathered.place, gathered.next_step) == ("reversed component", "XX.A.", "Turn it.")


def test_people_read_the_next_step_of_alike_stations_once() -> None:
    other = Finding("warning", "XX.B.: Z is upside down.", next_step="Turn it.")
    assert [f.text for f in condense([REVERSED, other])] == ["XX.A., XX.B.: Z is upside down. Turn it."]


def test_errors_come_before_warnings_and_notes() -> None:
    mixed = [Finding("note", "n"), Finding("error", "e"), Finding("warning", "w"), Finding("error", "e")]
    assert [f.text for f in warnings_first(mixed)] == ["e", "w", "n"]
