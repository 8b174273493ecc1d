"""Ways to teach a backbone a campaign, by name: what each trains, and how. One table, one loop.

`full` and `unfreeze:<k>` have the settings of the paper's fine-tuning (arXiv 2512.13197): AdamW with 5e-5, one window a
step, plateau schedule, 100 epochs with patience 10. For CR-LoRA the paper says: AdamW with lower weight decay, a cosine
over 100 epochs; it gives no learning rate. Here the small adapters run 15 epochs at 2e-3, which fits into minutes on
two cores; `--epochs 100` is the paper's length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from phaseno_peft.backbone import PhaseNO
from phaseno_peft.cr_lora import CRLoraSettings, check_stem
from phaseno_peft.cr_lora.settings import TARGETS
from phaseno_peft.errors import AdapterError
from phaseno_peft.training.loop import seeded
from phaseno_peft.training.recipes.bottleneck import BottleneckModel
from phaseno_peft.training.recipes.stock_peft import LINEAR, METHODS, adapt_with_stock_peft, method_name
from phaseno_peft.training.settings import TrainingSettings

ADAPTER = TrainingSettings()
FINE_TUNING = TrainingSettings(
    epochs=100, learning_rate=5e-5, weight_decay=1e-2, schedule="plateau", batch_stations=1, patience=10
)
"""The paper's regular fine-tuning; 1e-2 is torch's default weight decay, the paper names none."""
FROM_SCRATCH = TrainingSettings(epochs=100, learning_rate=1e-3, weight_decay=1e-2, patience=20)
"""The paper gives no settings for random weights (its F1 stayed below 0.20). 5e-5 would not move them in time, so they
get the rate of pre-training: so that it does as well as it can."""
BLOCKS = ("fc", "fno7", "fno6", "gno5", "fno5", "gno4", "fno4", "gno3", "fno2", "gno1", "fno1", "gno0", "fno0", "fc0")
"""From the output to the input: `unfreeze:<k>` and `cr-lora:<k>` train on the first k; `fc` is the head fc1, fc2."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how."""

    name: str
    trains: str
    """In a phrase."""
    source: str
    build: Callable[[PhaseNO], nn.Module]
    """Frozen backbone -> model of which exactly the parameters to train require gradients."""
    training: TrainingSettings = ADAPTER
    method: CRLoraSettings | None = None
    """Settings of the CR-LoRA adapter it makes; None if it makes none."""
    changes_backbone: bool = False
    """True where the result is another backbone, not something that can be switched off."""

    def check_fits(self, backbone: PhaseNO) -> None:
        """Raise `AdapterError` if the recipe adapts a stem and the backbone has none."""
        if self.method is not None:
            check_stem(backbone, self.method)

    def model(self, backbone: PhaseNO, seed: int) -> nn.Module:
        """The model to train, its random start values drawn from `seed`."""
        with seeded(seed, 0, device=next(backbone.parameters()).device):
            return self.build(backbone.requires_grad_(False))


def cr_lora_recipe(
    settings: CRLoraSettings | None = None,
    name: str = "cr-lora",
    trains: str = "low-rank updates, channel gates and the decision head",
    source: str = "arXiv 2512.13197, CR-LoRA",
) -> Recipe:
    """The recipe of a CR-LoRA adapter with these settings."""
    method = settings or CRLoraSettings()
    return Recipe(name, trains, source, lambda backbone: _with_adapter(backbone, method), method=method)


def _with_adapter(backbone: PhaseNO, settings: CRLoraSettings) -> nn.Module:
    from peft import get_peft_model

    from phaseno_peft.cr_lora import CRLoraConfig

    adapted: nn.Module = get_peft_model(backbone, CRLoraConfig(**dataclasses.asdict(settings)))
    return adapted


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
        Recipe("frozen", "nothing; thresholds are chosen on validation", "", lambda backbone: backbone),
        cr_lora_recipe(
            CRLoraSettings(r=0, se_reduction=0), "head", "the decision head fc1, fc2", "KFpicker's last layer"
        ),
        cr_lora_recipe(
            CRLoraSettings(r=0, train_head=False), "se-only", "channel gates", "arXiv 2512.13197, a part of CR-LoRA"
        ),
        cr_lora_recipe(
            CRLoraSettings(se_reduction=0, train_head=False),
            "lora",
            "low-rank updates",
            "arXiv 2512.13197, 'LoRA alone'",
        ),
        cr_lora_recipe(
            CRLoraSettings(se_reduction=0),
            "lora-head",
            "low-rank updates and the decision head",
            "CR-LoRA without its gates",
        ),
        cr_lora_recipe(),
        cr_lora_recipe(
            CRLoraSettings(stem="lora"),
            "cr-lora+stem",
            "CR-LoRA, and low-rank updates of the stem's convolutions",
            "CR-LoRA on a backbone with a stem",
        ),
        cr_lora_recipe(
            CRLoraSettings(stem="last"),
            "cr-lora+stem-last",
            "CR-LoRA, and the stem's last convolution and output",
            "CR-LoRA on a backbone with a stem",
        ),
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
            changes_backbone=True,
        ),
        Recipe(
            "scratch",
            "every weight, from random values",
            "arXiv 2512.13197, from random weights",
            _random_weights,
            FROM_SCRATCH,
            changes_backbone=True,
        ),
    )
}
FAMILIES = {
    "cr-lora:<k>": f"CR-LoRA on the last k blocks, 1 to {len(BLOCKS) - 1}; no gradient goes further back",
    "unfreeze:<k>": f"the last k of {len(BLOCKS)} blocks, 1 to {len(BLOCKS)}",
    "peft:<method>": f"a stock method of PEFT: {', '.join(METHODS)}",
}


def find_recipe(name: str) -> Recipe:
    """The recipe of a name such as `cr-lora`, `unfreeze:3` or `peft:DoRA`; `AdapterError` names what there is."""
    if name in RECIPES:
        return RECIPES[name]
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
        blocks = _last_blocks(name, which, len(BLOCKS) - 1)  # the first, fc0, has nothing that CR-LoRA adapts
        return cr_lora_recipe(
            CRLoraSettings(target_modules=f"(?={'|'.join(blocks)}){TARGETS}"),
            f"cr-lora:{len(blocks)}",
            f"CR-LoRA on {', '.join(blocks)}",
            "CR-LoRA on late blocks only: a shorter backward pass",
        )
    if family == "unfreeze" and which:
        blocks = _last_blocks(name, which, len(BLOCKS))
        return Recipe(
            f"unfreeze:{len(blocks)}",
            f"all weights of {', '.join(blocks)}",
            "arXiv 2512.13197, progressive unfreezing",
            lambda backbone: _unfrozen(backbone, blocks),
            FINE_TUNING,
            changes_backbone=True,
        )
    raise AdapterError(f"there is no recipe {name!r}. Choose among {', '.join([*RECIPES, *FAMILIES])}.")


def _last_blocks(recipe: str, k: str, most: int) -> tuple[str, ...]:
    if not k.isdigit() or not 1 <= int(k) <= most:
        raise AdapterError(f"recipe {recipe!r}: `k` should be 1 to {most} blocks but is {k!r}.")
    return BLOCKS[: int(k)]


def n_trainable(model: torch.nn.Module) -> int:
    """Parameters that require gradients, a complex one counted once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
