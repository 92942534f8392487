"""Which providers may be used here: whoever runs the machine can switch some off."""

from __future__ import annotations

from pathlib import Path

from jupyter_core.paths import jupyter_config_path
from traitlets import Enum, List, TraitError
from traitlets.config import Configurable
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

from .channel import AddressError

__all__ = ["SkyTorchProviders", "allowed", "check_allowed"]

#: The sidebar's part of the Jupyter server has its settings in a file of this name, too.
_FILE = "jupyter_skytorch_config"
_KNOWN = ("local", "address", "kubernetes")


class SkyTorchProviders(Configurable):
    """What Computes come from."""

    allowed = List(
        Enum(_KNOWN),
        list(_KNOWN),
        help="Providers that kernels may connect by, and whose servers the sidebar asks: 'local', 'address', "
        "'kubernetes'. It stands in jupyter_skytorch_config.py or .json in one of Jupyter's configuration folders; "
        "where several files say it, a provider must be allowed by all of them.",
    ).tag(config=True)


def allowed() -> frozenset[str]:
    """Name those that may be used. Raises AddressError, one line, for a file that can't be read."""
    return frozenset(provider for provider, file in _switched_off().items() if not file)


def check_allowed(provider: str) -> None:
    """Refuse a provider that is switched off. Raises AddressError, one line."""
    why = _switched_off()
    if file := why.get(provider):
        others = [other for other, off in why.items() if not off]
        instead = f"use {' or '.join(others)}" if others else "none is left"
        raise AddressError(f"the provider {provider!r} is switched off here, by {file}: {instead}")


def _switched_off() -> dict[str, str]:
    """For each provider that is known the file that doesn't allow it; empty where all do.

    Raises AddressError, one line, for a file that can't be read.
    """
    why = dict.fromkeys(_KNOWN, "")
    for folder in map(Path, jupyter_config_path()):
        for loader, path in (
            (PyFileConfigLoader, folder / f"{_FILE}.py"),
            (JSONFileConfigLoader, folder / f"{_FILE}.json"),
        ):
            names = _read(loader, path)
            for provider in _KNOWN:
                if provider not in names and not why[provider]:
                    why[provider] = str(path)
    return why


def _read(loader: type[PyFileConfigLoader | JSONFileConfigLoader], path: Path) -> list[str]:
    try:
        config = loader(path.name, str(path.parent)).load_config()
        names: list[str] = SkyTorchProviders(config=config).allowed
    except ConfigFileNotFound:
        return list(_KNOWN)
    except TraitError as error:
        raise AddressError(f"{path}: {' '.join(str(error).split())}") from None
    except Exception as error:  # noqa: BLE001 - whatever Python code in a configuration raises
        raise AddressError(f"{path} can't be read: {type(error).__name__}: {error}") from None
    return names
