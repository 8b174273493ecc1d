"""The verdict on an adapter: written rules on what was measured, and one sentence that says which of them decided.

The rules, first match first (numbers are the constants below):

1. *not enough evidence*: the adapter was trained on these events, or labels are simulated, or fewer than 5 test events,
   or fewer than 20 labels.
2. *do not deploy*: F1 (mean over P and S within 0.5 s and 0.1 s) is below the frozen network's with the whole 95 %
   interval; or F1 of one phase within 0.5 s is; or a rival is better with the whole interval; or false picks on half an
   hour of noise more than double, and are more with the whole interval.
3. *not enough evidence*: the interval of the gain over the frozen network holds zero.
4. *deploy with care*: something speaks for care, see `cautions`. Otherwise *deploy*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from phaseno_peft.campaign.windows import LEAST_HOURS
from phaseno_peft.contract import PHASES

Word = Literal["deploy", "deploy with care", "do not deploy", "not enough evidence"]

FEWEST_EVENTS = 5
"""With fewer test events a bootstrap over events says nothing: the sample has almost no other draws."""
MANY_EVENTS = 20
"""From here on 95 % intervals of F1 by bootstrap over events are about as wide as they claim."""
FEWEST_LABELS = 20
"""As for choosing thresholds: one pick of fewer is no small difference."""
LARGEST_FORGETTING = 0.05
"""Loss of F1 within 0.5 s away from the campaign that is passed over: about three of the 59 forgetting P labels."""
ANOTHER_CONVENTION_S = 0.05
"""Label offsets farther apart (network's time) put half of a closeness of 0.1 s at stake."""
FEWEST_OFFSET_PICKS = 10
"""Clear arrivals that a measured label offset needs."""
FEWEST_NOISE_HOURS = 0.5
"""One false pick in less noise than this is two an hour, or none."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the rules look at."""

    n_events: int
    """Test events."""
    n_labels: Mapping[str, int]
    """Phase -> labels in their windows."""
    gain: Interval
    """F1 of the adapter minus the frozen network's, mean over labelled phases and tolerances of 0.5 s and 0.1 s."""
    phase_gains: Mapping[str, Interval]
    """The same of each labelled phase within 0.5 s."""
    rival_gains: Mapping[str, Interval]
    """Rival -> F1 of the adapter minus the rival's, as `gain`."""
    noise_hours: float
    """Real hours of noise in which false picks were counted."""
    false_per_hour: Interval
    """False picks of the adapter per hour of noise, whole network."""
    frozen_false_per_hour: float
    more_false_per_hour: Interval
    """False picks of the adapter minus those of the frozen network, per hour of the same noise."""
    label_source: str = "analyst"
    """Of the labels: "analyst", "automatic", "simulated" or "unknown"."""
    may_flatter: bool = False
    """Events that trained the adapter may be among those it was scored on."""
    trained_on_all: bool = False
    """All events that it was scored on trained the adapter."""
    forgetting: Mapping[str, float] | None = None
    """Phase -> F1 within 0.5 s lost on records unlike the campaign's; None where it was not measured."""
    offset_change_s: Mapping[str, float] | None = None
    """Phase -> label offset measured here minus the contract's, network's time; None on the adapter's own campaign."""
    n_groups: int | None = None
    """Groups of test events that share no window: events of a swarm are no independent witnesses. None: all are."""

    @property
    def witnesses(self) -> int:
        """Independent ones."""
        return self.n_events if self.n_groups is None else self.n_groups

    @property
    def has_enough_noise(self) -> bool:
        """For a rate of false picks; hours are sums of many windows, so that rounding is passed over."""
        return self.noise_hours >= FEWEST_NOISE_HOURS - LEAST_HOURS

    @property
    def tested_on(self) -> str:
        """The test events in words."""
        if self.witnesses == self.n_events:
            return f"{self.n_events} test events"
        return f"{self.n_events} test events in {self.n_groups} group{'s' * (self.n_groups != 1)} that share windows"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, why, and what else to mind."""

    word: Word
    reason: str
    """One sentence."""
    cautions: tuple[str, ...] = ()
    """One sentence each; the first of them is the reason of "deploy with care"."""

    @property
    def severity(self) -> str:
        """As of findings: "good" where it may be deployed, "warning", "error", or "note" where nothing is known."""
        return {"deploy": "good", "deploy with care": "warning", "do not deploy": "error"}.get(self.word, "note")

    def __str__(self) -> str:
        return f"{self.word[0].upper()}{self.word[1:]}: {self.reason}"


def decide(evidence: Evidence) -> Verdict:
    """Return the verdict by the rules of this module."""
    care = tuple(cautions(evidence))
    rules: tuple[tuple[Word, Iterator[str]], ...] = (
        ("not enough evidence", _too_little(evidence)),
        ("do not deploy", _against(evidence)),
        ("not enough evidence", _not_told_apart(evidence)),
        ("deploy with care", iter(care)),
    )
    for word, reasons in rules:
        reason = next(reasons, None)
        if reason is not None:
            return Verdict(word, reason, tuple(c for c in care if c != reason))
    return Verdict("deploy", f"F1 changes by {evidence.gain} against the frozen network on {evidence.n_events} events.")


def _too_little(e: Evidence) -> Iterator[str]:
    if e.trained_on_all:
        yield (
            "the adapter was trained on the events that it is scored on. Judge it on others; scores on its card that "
            "are out of fold or of held-out events do not flatter."
        )
    if e.label_source == "simulated":
        yield "the labels are simulated, so that the scores say nothing of real records."
    if e.witnesses < FEWEST_EVENTS:
        yield f"there are {e.tested_on}, and fewer than {FEWEST_EVENTS} decide nothing."
    labels = sum(e.n_labels.values())
    if labels < FEWEST_LABELS:
        yield f"there are {labels} labels, and fewer than {FEWEST_LABELS} decide nothing."


def _against(e: Evidence) -> Iterator[str]:
    if e.gain.high < 0:
        yield f"the frozen network is better without it: F1 changes by {e.gain}."
    for phase, gain in e.phase_gains.items():
        if gain.high < 0:
            yield f"the adapter loses {phase}: its F1 within 0.5 s changes by {gain} against the frozen network."
    for rival, gain in e.rival_gains.items():
        if gain.high < 0:
            yield f"{rival} is better on the same windows: the adapter's F1 minus its F1 is {gain}."
    rate, before, more = e.false_per_hour.value, e.frozen_false_per_hour, e.more_false_per_hour
    if e.has_enough_noise and more.low > 0 and rate > 2 * before:
        yield (
            f"false picks on noise more than double, from {before:.1f} to {rate:.1f} an hour (95 % of the difference "
            f"{more.low:.1f} to {more.high:.1f}, {e.noise_hours:.1f} hours)."
        )


def _not_told_apart(e: Evidence) -> Iterator[str]:
    if e.gain.low <= 0:
        yield (
            f"{e.n_events} test events do not tell the adapter from the frozen network: F1 changes by {e.gain}, and "
            "the 95 % interval holds zero."
        )


def cautions(e: Evidence) -> Iterator[str]:
    """What speaks for care, one sentence each, the weightiest first."""
    if e.may_flatter:
        yield "the adapter may have been trained on some of these events, so that the scores may flatter it."
    for phase in PHASES:
        change_s = (e.offset_change_s or {}).get(phase, 0.0)
        if abs(change_s) > ANOTHER_CONVENTION_S:
            yield (
                f"the {phase} picks here follow another convention than the adapter's: they lie "
                f"{1000 * abs(change_s):.0f} ms {'earlier' if change_s > 0 else 'later'} against the onsets."
            )
    if e.witnesses < MANY_EVENTS:
        yield f"there are only {e.tested_on}: one event more can move the scores (F1 changes by {e.gain})."
    if e.label_source == "automatic":
        yield "the labels are automatic: the scores tell agreement with a program, not with an analyst."
    if e.noise_hours == 0:
        yield "no noise was judged: look at an hour of quiet record for false picks before you trust it."
    elif not e.has_enough_noise:
        yield (
            f"false picks were counted in {60 * e.noise_hours:.0f} minutes of noise only ({e.false_per_hour.value:.1f} "
            f"an hour, the frozen network's {e.frozen_false_per_hour:.1f}); look at an hour of quiet record before you "
            "trust the rate."
        )
    elif e.false_per_hour.value > e.frozen_false_per_hour:
        yield (f"false picks on noise rise from {e.frozen_false_per_hour:.1f} to {e.false_per_hour.value:.1f} an hour.")
    forgotten = {phase: loss for phase, loss in (e.forgetting or {}).items() if loss > LARGEST_FORGETTING}
    if forgotten:
        losses = " and ".join(f"{phase} by {loss:.2f}" for phase, loss in forgotten.items())
        yield f"away from its campaign it forgets: F1 within 0.5 s falls for {losses}. Use it on its campaign only."
    elif e.forgetting is None:
        yield "what it forgets away from its campaign was not measured."
