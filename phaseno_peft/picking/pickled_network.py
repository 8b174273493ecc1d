"""A backbone and its resident adapters as plain numbers with digests: how a `Picker` is pickled and copied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, fingerprint
from phaseno_peft.backbone.weights import apply_state
from phaseno_peft.contract import Contract, tensors_sha256
from phaseno_peft.cr_lora import CRLoraSettings, ResidentAdapter
from phaseno_peft.cr_lora.attach import make_resident
from phaseno_peft.cr_lora.resident import prepare_layers
from phaseno_peft.errors import AdapterError, BackboneError


@dataclass(frozen=True)
class PickledAdapter:
    """A resident adapter as plain numbers."""

    name: str
    settings: dict[str, Any]
    contract: dict[str, Any] | None
    tensors: dict[str, NDArray[Any]]
    tensors_sha256: str
    members: tuple[PickledAdapter, ...] = ()

    @classmethod
    def of(cls, adapter: ResidentAdapter) -> PickledAdapter:
        """A copy of what the adapter is now."""
        tensors, settings = adapter.tensors(), adapter.settings.to_json()
        arrays = {key: tensor.cpu().numpy().copy() for key, tensor in tensors.items()}
        contract = None if adapter.contract is None else adapter.contract.to_json()
        members = tuple(cls.of(member) for member in adapter.members)
        return cls(adapter.name, settings, contract, arrays, tensors_sha256(tensors), members)

    def attach_to(self, backbone: torch.nn.Module) -> None:
        """Make the adapter resident. Raises `AdapterError` for what was altered."""
        prepare_layers(backbone).put(self._resident(backbone))

    def _resident(self, backbone: torch.nn.Module) -> ResidentAdapter:
        tensors = {key: torch.tensor(array) for key, array in self.tensors.items()}
        if (seen := tensors_sha256(tensors)) != self.tensors_sha256:
            raise AdapterError(
                f"the pickled adapter {self.name!r} has tensors of SHA-256 {seen[:12]}, {self.tensors_sha256[:12]} was "
                "sent. Send it again."
            )
        contract = None if self.contract is None else Contract.from_json(self.contract)
        settings = CRLoraSettings(**self.settings)
        origin = f"adapter {self.name!r}, pickled"
        made = make_resident(backbone, self.name, settings, tensors, origin, contract)
        return replace(made, members=tuple(member._resident(backbone) for member in self.members))


@dataclass(frozen=True)
class PickledNetwork:
    """A backbone and its resident adapters as plain numbers."""

    name: str
    """Of the backbone."""
    fingerprint: str
    config: dict[str, Any]
    state: dict[str, NDArray[Any]]
    device: str
    adapters: tuple[PickledAdapter, ...]

    @classmethod
    def of(
        cls, backbone: torch.nn.Module, name: str, digest: str, adapters: Iterable[ResidentAdapter]
    ) -> PickledNetwork:
        """What a network of this name and fingerprint is now."""
        return cls(
            name,
            digest,
            cast(PhaseNO, backbone).phaseno_config.to_json(),
            {key: tensor.detach().cpu().numpy() for key, tensor in backbone.state_dict().items()},
            str(next(backbone.parameters()).device),
            tuple(PickledAdapter.of(adapter) for adapter in adapters),
        )

    def backbone(self) -> PhaseNO:
        """The backbone with its adapters, on the device it had where this machine has that, else on the CPU.

        Raises `BackboneError` and `AdapterError` for what was altered.
        """
        backbone = PhaseNO(PhaseNOConfig.from_json(self.config))
        state = {key: torch.tensor(array) for key, array in self.state.items()}
        apply_state(backbone, state, f"backbone {self.name!r}, pickled")
        backbone.name_or_path = self.name
        backbone.to(_available_device(self.device)).eval().requires_grad_(False)
        if (seen := fingerprint(backbone)) != self.fingerprint:
            raise BackboneError(
                f"the pickled picker's backbone has fingerprint {seen[:12]}, {self.fingerprint[:12]} was sent. "
                "Send it again."
            )
        for adapter in self.adapters:
            adapter.attach_to(backbone)
        return backbone


def _available_device(device: str) -> str:
    """The device if this machine has it, else the CPU."""
    kind, _, index = device.partition(":")
    there = torch.cuda.device_count() if kind == "cuda" else int(kind == "mps" and torch.backends.mps.is_available())
    return device if int(index or 0) < there else "cpu"
