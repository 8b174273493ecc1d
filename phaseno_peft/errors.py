"""Errors a user can act on: what was wrong, the value and file seen, and the next step."""


class PhasenoPeftError(Exception):
    """Base of every error this library raises on purpose; the command line prints it and exits with code 2."""


class CampaignError(PhasenoPeftError):
    """Waveforms, stations or picks that cannot be used as they are."""


class BackboneError(PhasenoPeftError):
    """A backbone, its weights, or an input that does not fit the network."""


class AdapterError(PhasenoPeftError):
    """An adapter that is missing, altered, made for something else, or badly named."""


class HubError(PhasenoPeftError):
    """The Hugging Face Hub, the way there, or what came from it: missing, refused, in conflict, or altered."""


class BusyError(PhasenoPeftError):
    """Another process or thread is writing the same place; the message says which one, and what it does there."""
