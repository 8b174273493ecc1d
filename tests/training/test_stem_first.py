"""An adapter of the stem begins with the stem alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StemConfig
from phaseno_peft.training import stem_first
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.history import Epoch
from phaseno_peft.training.loop import masked_loss, train
from phaseno_peft.training.recipes import find_recipe
from phaseno_peft.training.stem_first import StemAlone, train_stem_alone
from tests.training.conftest import LEAN


def adapted(recipe: str) -> torch.nn.Module:
    torch.manual_seed(0)
    backbone = PhaseNO(PhaseNOConfig(width=8, modes=6, stem=StemConfig(channels=2, levels=3)))
    return find_recipe(recipe).model(backbone, 0)


def trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("stem", ["lora", "full"])
def test_the_stem_alone_is_trained_and_lowers_its_own_loss(
    stem: str, dataset: CampaignDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stem_first, "EPOCHS", 4)
    monkeypatch.setitem(stem_first.LEARNING_RATE, stem, 0.01)
    model = adapted("cr-lora+stem" if stem == "lora" else f"cr-lora+stem-{stem}")

    def loss() -> float:
        with torch.no_grad():
            logits = [StemAlone(model)(torch.from_numpy(w.waveforms), None) for w in dataset.validation]  # type: ignore[arg-type]
        targets, known = (
            torch.from_numpy(np.concatenate([getattr(w, what) for w in dataset.validation]))
            for what in ("targets", "known")
        )
        return float(masked_loss(torch.cat(logits), targets, known, 5.0))

    before, loss_before = trained(model), loss()
    sampler = dataset.sampler(dataset.train(), 0)
    train_stem_alone(model, sampler, dataset.edge_limit_km, LEAN, {"P": 0.0, "S": 0.0}, stem)
    after = trained(model)
    assert after.keys() == before.keys()  # all is trained afterwards
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved
    assert all(".stem." in name for name in moved)
    assert loss() < loss_before


def test_beside_the_operator_the_stem_is_trained_at_its_own_rate(dataset: CampaignDataset) -> None:
    moved = {}
    for rate in (0.0, 0.1, 1.0):
        model = adapted("cr-lora+stem-full")
        before = trained(model)
        settings = dataclasses.replace(LEAN, epochs=1, stem_rate=rate, keep_epoch=1, weight_decay=0.0)
        train(model, dataset.sampler(dataset.train(), 0), [], dataset.edge_limit_km, settings)
        after = trained(model)
        by_part = {True: 0.0, False: 0.0}
        for name, start in before.items():
            by_part[".stem." in name] += float((after[name] - start).abs().sum())
        moved[rate] = by_part
        assert by_part[False] > 0
    assert moved[0.0][True] == 0 < moved[0.1][True] < 0.5 * moved[1.0][True]


def test_it_happens_between_the_untrained_model_and_the_first_epoch_and_never_again(dataset: CampaignDataset) -> None:
    happened: list[str] = []
    settings = dataclasses.replace(LEAN, epochs=2)
    model = find_recipe("se-only").model(PhaseNO(PhaseNOConfig(width=8, modes=6)), 0)

    def note(epoch: Epoch) -> None:
        happened.append(f"epoch {epoch.epoch}")

    train(
        model,
        dataset.sampler(dataset.train(), 0),
        dataset.validation,
        dataset.edge_limit_km,
        settings,
        note,
        before_first=lambda: happened.append("stem"),
    )
    assert happened == ["epoch 0", "stem", "epoch 1", "epoch 2"]
