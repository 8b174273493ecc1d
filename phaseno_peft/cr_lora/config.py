"""The PEFT configuration of CR-LoRA. Importing this imports PEFT."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from peft import PeftConfig
from safetensors import SafetensorError, safe_open

from phaseno_peft.cr_lora.peft_type import CRLORA
from phaseno_peft.cr_lora.settings import PEFT_KEYS, CRLoraSettings
from phaseno_peft.errors import AdapterError
from phaseno_peft.files.manifest import MANIFEST, altered_files
from phaseno_peft.schema import read_object

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LARGEST_JSON_BYTES = 4 << 20


@dataclass
class CRLoraConfig(CRLoraSettings, PeftConfig):  # type: ignore[misc]  # peft ships no types
    """`CRLoraSettings` as PEFT's `get_peft_model`, `save_pretrained` and `from_pretrained` know configurations."""

    settings_from_file: ClassVar[bool] = False
    """True on an instance whose settings were read from a folder and whose tensors are yet to be."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, subfolder: str | None = None, **kwargs: Any
    ) -> CRLoraConfig:
        """Read `adapter_config.json` as strictly as `phaseno_peft.load_adapter`: whole, as its manifest lists it.

        The instance remembers that it comes from there. Raises `AdapterError`.
        """
        folder = _folder(str(pretrained_model_name_or_path), subfolder, cls._split_kwargs(kwargs)[0])
        if altered := altered_files(folder, (CONFIG, WEIGHTS)):
            raise AdapterError(f"{altered[0]} It was altered after it was written; fetch or train the adapter again.")
        if not (folder / WEIGHTS).is_file():
            raise AdapterError(f"{folder}: has no {WEIGHTS}. Other kinds of file, which can execute, are not read.")
        try:
            with safe_open(folder / WEIGHTS, "pt"):
                pass  # its header alone: what PEFT would raise for a damaged one is not ours
        except (SafetensorError, OSError) as error:
            raise AdapterError(f"{folder / WEIGHTS}: not a safetensors file ({error}). Fetch it again.") from error
        try:
            raw = read_object(folder / CONFIG, LARGEST_JSON_BYTES)
        except ValueError as error:
            raise AdapterError(f"{error}. Fetch the adapter again.") from error
        try:
            settings = CRLoraSettings.from_adapter_config(raw)
        except AdapterError as error:
            raise AdapterError(f"{folder / CONFIG}: {error}") from error
        of_peft = {key: raw[key] for key in PEFT_KEYS if key in raw and key != "peft_type"}
        config = cls(**settings.to_json(), **of_peft)
        config.settings_from_file = True  # type: ignore[misc]  # a mark on this instance only, never saved
        return config

    def to_dict(self) -> dict[str, Any]:
        """What PEFT writes into `adapter_config.json`."""
        own = self.to_json()
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "stem" or name in own}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = CRLORA
        self.bias = "none"
        if self.task_type is not None:
            raise ValueError(
                f"CR-LoRA: `task_type` should be None but is {self.task_type!r}: PhaseNO has no such task."
            )


def _folder(name: str, subfolder: str | None, hub: dict[str, Any]) -> Path:
    """Where the adapter's files are on this machine; fetched from the Hub as PEFT would unless they are here."""
    here = Path(name, subfolder or "")
    if (here / CONFIG).is_file():
        return here
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    paths = []
    for file in (CONFIG, WEIGHTS, MANIFEST):
        try:
            paths.append(Path(hf_hub_download(name, file, subfolder=subfolder, **hub)))
        except LocalEntryNotFoundError as error:
            raise AdapterError(f"{name}: {file} is not here and the Hub is out of reach. Go online once.") from error
        except EntryNotFoundError:
            continue  # without a manifest it is PEFT's own; without weights it is refused
    return paths[0].parent
