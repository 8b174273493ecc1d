"""Altered adapters through both loaders: this package's `load_adapter`, and PEFT's."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.attack.altered_adapters import CONFIG, Alteration, alter
from benchmarks.attack.report import AttackResult, Outcome
from benchmarks.attack.subject import NAMES, Subject
from phaseno_peft.backbone import PhaseNO, load_backbone
from phaseno_peft.cr_lora import selected_adapter
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.library import verify_adapters
from phaseno_peft.library.inventory import describe
from phaseno_peft.picking import Picker

TRIED = "tried"
RESIDENT = NAMES[1]
_AS_EXACT = 1e-5
"""The two loaders' probabilities differ by rounding at most."""


class AdapterAttack:
    """Makes attack `number`; keeps a picker and a PEFT model, each with one good adapter, between them."""

    def __init__(self, subject: Subject, seed: int) -> None:
        import peft

        self.subject, self.seed, self.peft = subject, seed, peft
        self.mark = subject.scratch / "executed"
        self.original = subject.adapters[NAMES[0]]
        self.content = {path.name: path.read_bytes() for path in self.original.iterdir()}
        self.backbone = load_backbone(subject.backbone)
        self.frozen = self.output(self.backbone)
        self._new_picker()
        self._new_model()
        self.picker.load_adapter(self.original, name=TRIED)
        self.right = self.own_output()
        self._new_picker()

    def _new_picker(self) -> None:
        self.picker = Picker.load(self.subject.backbone)
        self.picker.load_adapter(self.subject.adapters[RESIDENT])
        self.before = self.picker_state()

    def _new_model(self) -> None:
        """A PEFT model with one good adapter, and a bare backbone for `from_pretrained`."""
        self.model = self.peft.PeftModel.from_pretrained(
            copy.deepcopy(self.backbone), str(self.subject.adapters[RESIDENT]), adapter_name=RESIDENT
        ).eval()
        self.model_before = self.model_state(self.model)
        self.bare = copy.deepcopy(self.backbone)
        self.bare_before = self.model_state(self.bare)

    def output(self, model: Any) -> torch.Tensor:
        """Logits [station, phase, sample] of the subject's window."""
        with torch.inference_mode():
            logits: torch.Tensor = model(self.subject.waveforms, self.subject.graph)
        return logits

    def own_output(self) -> torch.Tensor:
        """Logits of the picker's adapter `tried`."""
        with selected_adapter(TRIED):
            return self.output(self.picker.backbone)

    def picker_state(self) -> tuple[Any, ...]:
        """Everything that a refusal must leave as it was; tensors as bytes."""
        with selected_adapter(RESIDENT):
            resident = self.output(self.picker.backbone).numpy().tobytes()
        contract = repr(self.picker.contract())
        return self.picker.adapters, self.picker.active_adapter, contract, _tree(self.picker.backbone), resident

    def model_state(self, model: Any) -> tuple[Any, ...]:
        """The same of a PEFT model or a bare network."""
        configs = {name: repr(config) for name, config in getattr(model, "peft_config", {}).items()}
        return configs, getattr(model, "active_adapter", None), _tree(model), self.output(model).numpy().tobytes()

    def __call__(self, number: int) -> AttackResult:
        rng = np.random.default_rng([self.seed, 1, number])
        folder = self.subject.scratch / "tried" / "tried-adapter"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in self.content.items():
            (folder / name).write_bytes(content)
        self.mark.unlink(missing_ok=True)
        done = alter(folder, rng, self.subject.adapters[NAMES[2]], self.mark)
        self.subject.doing.write_text("; ".join(done.what), errors="replace")
        outcome, seen = self._result(done, from_pretrained=bool(rng.random() < 0.5))
        if self.mark.exists():
            outcome = "executed"
        return AttackResult(outcome, f"{'; '.join(done.what)} -> {seen}")

    def _result(self, done: Alteration, *, from_pretrained: bool) -> tuple[Outcome, str]:
        try:
            describe(str(done.folder))
            verify_adapters([done.folder])
        except PhasenoPeftError:
            pass
        except Exception as error:  # what is looked for
            return "raw error", f"listing: {_one_line(error)}"
        own, own_said = self._load_with_picker(done.folder)
        theirs, their_said = self._load_with_peft(done.folder, from_pretrained=from_pretrained)
        for said in (own_said, their_said):
            if isinstance(said, tuple):
                return said
        both = f"own: {own_said}; PEFT: {their_said}"
        if own is None and theirs is None:
            return "refused", both
        if own is None or theirs is None:
            return "other result", f"the loaders differ: {both}"
        if not torch.allclose(own.sigmoid(), theirs.sigmoid(), rtol=0, atol=_AS_EXACT):  # false for NaN
            return "other result", "loaded, and other output through the other loader"
        if not done.forged and not torch.equal(own, self.right):
            return "other result", "loaded, with other output than the original's"
        return "identical", "loaded"

    def _load_with_picker(self, folder: Path) -> tuple[torch.Tensor | None, str | tuple[Outcome, str]]:
        try:
            self.picker.load_adapter(folder, name=TRIED)
        except PhasenoPeftError as error:
            if self.picker_state() != self.before:
                self._new_picker()
                return None, ("resident in part", f"own loader, after: {_one_line(error)}")
            return None, _one_line(error)
        except Exception as error:  # what is looked for
            self._new_picker()
            return None, ("raw error", f"own loader: {_one_line(error)}")
        try:
            output = self.own_output()
            self.picker.classify(self.subject.stream, self.subject.stations)
            return output, "loaded"
        except PhasenoPeftError as error:
            return output, f"loaded, picking refused: {_one_line(error)}"
        except Exception as error:  # what is looked for
            return None, ("raw error", f"own loader, picking: {_one_line(error)}")
        finally:
            self._new_picker()

    def _load_with_peft(
        self, folder: Path, *, from_pretrained: bool
    ) -> tuple[torch.Tensor | None, str | tuple[Outcome, str]]:
        load: Callable[[], Any]
        if from_pretrained:
            target, before = self.bare, self.bare_before
            load = lambda: self.peft.PeftModel.from_pretrained(self.bare, str(folder), adapter_name=TRIED)  # noqa: E731
        else:
            target, before = self.model, self.model_before
            load = lambda: self.model.load_adapter(str(folder), TRIED)  # noqa: E731
        try:
            loaded = load()
        except (PhasenoPeftError, ValueError) as error:
            if self.model_state(target) != before:
                self._new_model()
                return None, ("resident in part", f"PEFT's loader, after: {_one_line(error)}")
            return None, _one_line(error)
        except Exception as error:  # what is looked for
            same = self.model_state(target) == before
            self._new_model()
            if same and not _is_ours(folder):
                return None, f"PEFT does not take it for ours: {_one_line(error)}"
            return None, ("raw error", f"PEFT's loader: {_one_line(error)}")
        try:
            model = loaded if from_pretrained else self.model
            model.set_adapter(TRIED)
            return self.output(model.eval()), "loaded"
        except Exception as error:  # what is looked for
            return None, ("raw error", f"PEFT's loader, forward: {_one_line(error)}")
        finally:
            self._unload(loaded if from_pretrained else None)

    def _unload(self, loaded: Any) -> None:
        """Back to before a load, with PEFT's own calls where they do it: a new model costs ten times as much."""
        if loaded is None:
            self.model.delete_adapter(TRIED)
            self.model.set_adapter(RESIDENT)
            same = self.model_state(self.model) == self.model_before
        else:
            self.bare = loaded.unload()
            same = self.model_state(self.bare) == self.bare_before
        if not same:
            self._new_model()


def _tree(model: PhaseNO | Any) -> list[tuple[str, str]]:
    return [(path, type(module).__name__) for path, module in model.named_modules()]


def _is_ours(folder: Path) -> bool:
    """Whether PEFT finds this package's method in the folder; what it raises for others is its own."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        return bool(config["peft_type"] == "CRLORA")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:140]}".replace("\n", " ")
