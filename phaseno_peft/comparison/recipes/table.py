"""All recipes that can be compared, by name: the adapters of `training.recipes`, and what they are measured by.

`full` and `unfreeze:<k>` have the settings of the paper's fine-tuning (arXiv 2512.13197): AdamW with 5e-5, one window a
step, plateau schedule, 100 epochs with patience 10.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from phaseno_peft.backbone import PhaseNO
from phaseno_peft.comparison.recipes.bottleneck import BottleneckModel
from phaseno_peft.comparison.recipes.rescaled import RescalingEnsemble
from phaseno_peft.comparison.recipes.rivals import FINE_TUNED, PREFIX, SUFFIX, TUNED, rival_recipe
from phaseno_peft.comparison.recipes.stock_peft import LINEAR, METHODS, adapt_with_stock_peft, method_name
from phaseno_peft.errors import AdapterError
from phaseno_peft.training.recipes import ADAPTER_RECIPES, BLOCKS, LATE_BLOCKS, Recipe, last_blocks
from phaseno_peft.training.recipes import find_recipe as find_adapter_recipe
from phaseno_peft.training.settings import TrainingSettings

FINE_TUNING = TrainingSettings(
    epochs=100,
    learning_rate=5e-5,
    full_rate_events=0,
    weight_decay=1e-2,
    schedule="plateau",
    batch_stations=1,
    patience=10,
)
"""The paper's regular fine-tuning; 1e-2 is torch's default weight decay, the paper names none."""
FROM_SCRATCH = TrainingSettings(epochs=100, learning_rate=1e-3, full_rate_events=0, weight_decay=1e-2, patience=20)
"""The paper gives no settings for random weights (its F1 stayed below 0.20). 5e-5 would not move them in time, so they
get the rate of pre-training: so that it does as well as it can."""


def _unfrozen(backbone: PhaseNO, blocks: tuple[str, ...]) -> nn.Module:
    for name, parameter in backbone.named_parameters():
        top = name.split(".")[0]
        parameter.requires_grad_(("fc" if top in ("fc1", "fc2") else top) in blocks)
    return backbone


def _random_weights(backbone: PhaseNO) -> nn.Module:
    return PhaseNO(backbone.phaseno_config).to(next(backbone.parameters()).device)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "frozen", "nothing; thresholds are chosen on validation", "", lambda backbone: backbone, is_trained=False
        ),
        Recipe(
            "rescaled",
            "nothing; the frozen backbone at half, full and double speed",
            "after Shi et al. 2023",
            RescalingEnsemble,
            is_trained=False,
        ),
        *ADAPTER_RECIPES.values(),
        Recipe(
            "bottleneck",
            "a bottleneck behind each Fourier block",
            "after F-Adapter, arXiv 2509.23173, without bands",
            BottleneckModel,
        ),
        Recipe(
            "full",
            "every weight",
            "arXiv 2512.13197, regular fine-tuning",
            lambda backbone: backbone.requires_grad_(True),
            FINE_TUNING,
            makes="backbone",
        ),
        Recipe(
            "scratch",
            "every weight, from random values",
            "arXiv 2512.13197, from random weights",
            _random_weights,
            FROM_SCRATCH,
            makes="backbone",
        ),
    )
}
FAMILIES = {
    **LATE_BLOCKS,
    "unfreeze:<k>": f"the last k of {len(BLOCKS)} blocks, 1 to {len(BLOCKS)}",
    "peft:<method>": f"a stock method of PEFT: {', '.join(METHODS)}",
    f"{PREFIX}<picker>": f"another picker as it comes (stalta, baer, ar-aic, phasenet, CLASS:WEIGHTS of "
    f"SeisBench), {TUNED}, {FINE_TUNED} or CLASS{SUFFIX}:WEIGHTS",
}


def find_recipe(name: str, phasenet_weights: str | Path | None = None) -> Recipe:
    """The recipe of a name such as `cr-lora`, `unfreeze:3` or `peft:DoRA`; `AdapterError` names what there is.

    `phasenet_weights`: where the recipes `rival:phasenet` and `rival:phasenet-finetuned` have their weights.
    """
    if name in RECIPES:
        return RECIPES[name]
    if name.startswith(PREFIX) and name != PREFIX:
        return rival_recipe(name, phasenet_weights)
    family, _, which = name.partition(":")
    if family == "peft" and which:
        method = method_name(which)
        layers = "the GNO linears" if METHODS[method].layers == LINEAR else "the layers of lora"
        return Recipe(
            f"peft:{method}",
            f"PEFT's {method} on {layers}",
            "Hugging Face PEFT",
            lambda backbone: adapt_with_stock_peft(backbone, method),
        )
    if family == "cr-lora" and which:
        return find_adapter_recipe(name)
    if family == "unfreeze" and which:
        blocks = last_blocks(name, which, len(BLOCKS))
        return Recipe(
            f"unfreeze:{len(blocks)}",
            f"all weights of {', '.join(blocks)}",
            "arXiv 2512.13197, progressive unfreezing",
            lambda backbone: _unfrozen(backbone, blocks),
            FINE_TUNING,
            makes="backbone",
        )
    raise AdapterError(f"there is no recipe {name!r}. Choose among {', '.join([*RECIPES, *FAMILIES])}.")
