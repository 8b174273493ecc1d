"""One recipe with one seed: trained on D1, chosen on validation, judged on the three tests; kept when it is done."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.paper.data import PaperData
from phaseno_peft.backbone import EMBEDDED, fingerprint, load_backbone
from phaseno_peft.baselines.rival import Probabilities
from phaseno_peft.campaign import Window, with_moved_labels
from phaseno_peft.comparison.recipes import find_recipe
from phaseno_peft.comparison.runs import picker_of
from phaseno_peft.evaluation import Predictions, Scores, choose_thresholds, score
from phaseno_peft.files import write_file
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.fit import TrainingCallbacks, fit, training_identity

TABLE_RECIPES = ("frozen", "cr-lora", "rival:stalta")
FIGURE_RECIPES = ("unfreeze:2", "unfreeze:6", "full", "scratch")


@dataclass(frozen=True)
class PaperRun:
    """What one recipe came to with one seed."""

    recipe: str
    seed: int
    n_trainable: int
    epoch_kept: int
    epochs: int
    seconds: float
    validation: Scores
    tests: dict[int, Scores]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["validation"] = self.validation.to_json()
        return plain | {"tests": {str(number): scores.to_json() for number, scores in self.tests.items()}}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> PaperRun:
        """Inverse of `to_json`."""
        tests = {int(number): Scores.from_json(scores) for number, scores in raw["tests"].items()}
        return cls(**{**raw, "validation": Scores.from_json(raw["validation"]), "tests": tests})


def run_recipe(
    name: str,
    seed: int,
    data: PaperData,
    folder: Path,
    *,
    epochs: int | None = None,
    phasenet_weights: Path | None = None,
    backbone: str | Path = EMBEDDED,
    say: Callable[[str], None] = print,
) -> PaperRun:
    """Train and judge, or read what was kept of the same run; a training that was stopped goes on at its epoch."""
    recipe = find_recipe(name, phasenet_weights)
    training = recipe.training.changed(epochs=epochs, seed=seed)
    frozen = load_backbone(backbone)
    what = training_identity(recipe, data.dataset, training, None, fingerprint(frozen), "cpu")
    what["tests"] = {str(number): [len(w), sum(len(x.labels) for x in w)] for number, w in data.tests.items()}
    key = f"{name.replace(':', '-')}-seed-{seed}"
    kept = folder / "runs" / f"{key}.json"
    if kept.is_file():
        raw = json.loads(kept.read_text(encoding="utf-8"))
        if raw["what"] == json.loads(json.dumps(what)):
            return PaperRun.from_json(raw["run"])
    say(f"{name}, seed {seed}")
    shift_s, counts = {"P": 0.0, "S": 0.0}, (0, 0, 0, 0.0)
    edge_limit_km = data.dataset.edge_limit_km
    if recipe.is_picker:
        probabilities_of = picker_of(recipe, data.dataset)
    else:
        checkpoint = folder / "checkpoints" / f"{key}.safetensors"
        callbacks = TrainingCallbacks(
            say,
            lambda epoch: say(f"{name}, seed {seed}, epoch {epoch.epoch}: validation F1 {epoch.validation_score:.3f}"),
        )
        fitted = fit(recipe, data.dataset, training, backbone=backbone, checkpoint=checkpoint, callbacks=callbacks)
        shift_s = fitted.pick_shift_s
        counts = fitted.n_trainable, fitted.kept, max(0, len(fitted.history) - 1), fitted.seconds

        def probabilities_of(windows: Sequence[Window]) -> Probabilities:
            return window_probabilities(fitted.model, windows, edge_limit_km)

    def predicted(windows: Sequence[Window]) -> Predictions:
        return Predictions(with_moved_labels(windows, shift_s), probabilities_of(windows))

    validation = predicted(data.dataset.validation)
    thresholds = choose_thresholds(*validation)
    run = PaperRun(
        name,
        seed,
        *counts,
        score(*validation, thresholds),
        {number: score(*predicted(windows), thresholds) for number, windows in data.tests.items()},
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_file(kept, json.dumps({"what": what, "run": run.to_json()}, indent=1) + "\n")
    return run
