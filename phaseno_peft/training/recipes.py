"""What an adapter can consist of, by name: CR-LoRA whole, in parts, or on late blocks only.

For CR-LoRA the paper (arXiv 2512.13197) says: AdamW with lower weight decay, a cosine over 100 epochs; it gives no
learning rate. Here adapters run 15 epochs at 2e-3, which fits into minutes on two cores; `--epochs 100` is the paper's
length; with fewer than 16 events the rate is lower (`TrainingSettings.full_rate_events`). `cr-lora+stem-full` runs 6
epochs beside the stem's ten alone, which is what it was measured with (docs/results.md). What they are compared with is
in `comparison.recipes`.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import nn

from phaseno_peft.backbone import PhaseNO
from phaseno_peft.baselines.rival import Probabilities
from phaseno_peft.campaign import Window
from phaseno_peft.cr_lora import CRLoraSettings, check_stem
from phaseno_peft.cr_lora.settings import TARGETS
from phaseno_peft.errors import AdapterError
from phaseno_peft.training.loop import seeded
from phaseno_peft.training.settings import TrainingSettings

BLOCKS = ("fc", "fno7", "fno6", "gno5", "fno5", "gno4", "fno4", "gno3", "fno2", "gno1", "fno1", "gno0", "fno0", "fc0")
"""From the output to the input (`fc`: the head fc1, fc2): `cr-lora:<k>` adapts, `unfreeze:<k>` trains the first k."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how."""

    name: str
    trains: str
    """In a phrase."""
    source: str
    build: Callable[[PhaseNO], nn.Module]
    """Frozen backbone -> model of which exactly the parameters to train require gradients."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    method: CRLoraSettings | None = None
    """Settings of the CR-LoRA adapter it makes; None if it makes none."""
    makes: Literal["adapter", "backbone", "picker"] = "adapter"
    """An adapter can be switched off; another backbone and another picker cannot."""
    asked_as: str = ""
    """What `find_recipe` takes for it, where that is more than the name: a name tells no folder."""
    origin: str = ""
    """Digest of the weights that a picker starts from."""
    is_trained: bool = True
    """False of what is only judged."""
    probabilities: Callable[[Sequence[Window]], Probabilities] | None = None
    """Of a picker that is taken as it comes: windows -> [window][station, 2 (P, S), sample]. It has no `model`."""
    tune: Callable[[Sequence[Window]], Callable[[Sequence[Window]], Probabilities]] | None = None
    """Of a picker whose few settings are chosen on the training windows: these -> `probabilities`."""

    @property
    def request(self) -> str:
        """What `find_recipe` takes for it."""
        return self.asked_as or self.name

    @property
    def is_picker(self) -> bool:
        """Whether it is a picker without training, which has no `model`."""
        return self.probabilities is not None or self.tune is not None

    def check_fits(self, backbone: PhaseNO) -> None:
        """Raise `AdapterError` if the recipe adapts a stem and the backbone has none."""
        if self.method is not None:
            check_stem(backbone, self.method)

    def check_travels(self) -> None:
        """Raise `AdapterError` if the recipe cannot be sent to other processes, as one with a lambda cannot."""
        try:
            pickle.dumps(self)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise AdapterError(
                f"recipe {self.name!r} cannot be sent to processes that train side by side ({error}). Leave `at_once` "
                "out, or build it by `cr_lora_recipe` or a function of a module."
            ) from error

    def model(self, backbone: PhaseNO, seed: int) -> nn.Module:
        """The model to train, its random start values drawn from `seed`."""
        with seeded(seed, 0, device=next(backbone.parameters()).device):
            return self.build(backbone.requires_grad_(False))


def cr_lora_recipe(
    settings: CRLoraSettings | None = None,
    name: str = "cr-lora",
    trains: str = "low-rank updates, channel gates and the decision head",
    source: str = "arXiv 2512.13197, CR-LoRA",
    training: TrainingSettings | None = None,
) -> Recipe:
    """The recipe of a CR-LoRA adapter with these settings."""
    method = settings or CRLoraSettings()
    return Recipe(
        name,
        trains,
        source,
        partial(_with_adapter, settings=method),
        training or TrainingSettings(),
        method=method,
    )


def _with_adapter(backbone: PhaseNO, settings: CRLoraSettings) -> nn.Module:
    from peft import get_peft_model

    from phaseno_peft.cr_lora import CRLoraConfig

    adapted: nn.Module = get_peft_model(backbone, CRLoraConfig(**dataclasses.asdict(settings)))
    return adapted


ADAPTER_RECIPES = {
    recipe.name: recipe
    for recipe in (
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
        cr_lora_recipe(
            CRLoraSettings(stem="full"),
            "cr-lora+stem-full",
            "CR-LoRA, and every convolution of the stem",
            "CR-LoRA on a backbone with a stem",
            TrainingSettings(epochs=6),
        ),
    )
}
LATE_BLOCKS = {
    "cr-lora:<k>": f"CR-LoRA on the last k blocks, 1 to {len(BLOCKS) - 1}; no gradient goes further back",
}


def find_recipe(name: str) -> Recipe:
    """The recipe of an adapter such as `cr-lora` or `cr-lora:6`; `AdapterError` names what there is."""
    if name in ADAPTER_RECIPES:
        return ADAPTER_RECIPES[name]
    family, _, which = name.partition(":")
    if family == "cr-lora" and which:
        blocks = last_blocks(name, which, len(BLOCKS) - 1)  # the first, fc0, has nothing that CR-LoRA adapts
        return cr_lora_recipe(
            CRLoraSettings(target_modules=f"(?={'|'.join(blocks)}){TARGETS}"),
            f"cr-lora:{len(blocks)}",
            f"CR-LoRA on {', '.join(blocks)}",
            "CR-LoRA on late blocks only: a shorter backward pass",
        )
    raise AdapterError(
        f"recipe {name!r} makes no CR-LoRA adapter. Choose among {', '.join([*ADAPTER_RECIPES, *LATE_BLOCKS])}; "
        "`phaseno-peft compare` trains others beside them."
    )


def last_blocks(recipe: str, k: str, most: int) -> tuple[str, ...]:
    """The first k of `BLOCKS`. Raises `AdapterError` for another number."""
    if not k.isdigit() or not 1 <= int(k) <= most:
        raise AdapterError(f"recipe {recipe!r}: `k` should be 1 to {most} blocks but is {k!r}.")
    return BLOCKS[: int(k)]


def n_trainable(model: torch.nn.Module) -> int:
    """Parameters that require gradients, a complex one counted once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
