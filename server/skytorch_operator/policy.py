"""What the operator's configuration lets a Compute ask for beyond the plain pod. What isn't named in it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class ConfigurationError(Exception):
    """The operator's configuration can't be understood; the message says where."""


class NotAllowedError(Exception):
    """A Compute asks for what the configuration doesn't allow; the message names it."""


@dataclass(frozen=True)
class Policy:
    """For each field, patterns (as of file names: ``*``, ``?``, ``[abc]``) of what may be asked for."""

    #: Keys of labels and annotations of the pod.
    labels: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    #: Names of service accounts, whose token the pod then gets.
    serviceAccountName: tuple[str, ...] = ()  # noqa: N815 - named like the field
    #: ``key=value`` of labels of nodes.
    nodeSelector: tuple[str, ...] = ()  # noqa: N815
    #: nodeAffinity, podAffinity, podAntiAffinity.
    affinity: tuple[str, ...] = ()
    #: Keys of taints.
    tolerations: tuple[str, ...] = ()
    #: Names of Secrets.
    imagePullSecrets: tuple[str, ...] = ()  # noqa: N815
    #: emptyDir, persistentVolumeClaim/NAME, configMap/NAME, secret/NAME; the last two for variables, too.
    volumes: tuple[str, ...] = ()
    #: Images.
    initContainers: tuple[str, ...] = ()  # noqa: N815
    #: env, volumeMounts: what may be added to the server's container.
    containers: tuple[str, ...] = ()

    def check(self, field_name: str, asked: str) -> None:
        """Raises NotAllowedError unless a pattern for that field matches what is asked for."""
        patterns: Iterable[str] = getattr(self, field_name)
        if not any(fnmatchcase(asked, pattern) for pattern in patterns):
            what = f"{field_name} {asked!r}" if asked else field_name
            raise NotAllowedError(f"{what} isn't allowed by the operator's configuration; ask who runs the cluster")


@dataclass(frozen=True)
class Configuration:
    """The operator's configuration file."""

    allow: Policy = field(default_factory=Policy)


def read(path: Path | None) -> Configuration:
    """Of a YAML file like ``allow: {labels: [team]}``; without a file nothing is allowed. Raises ConfigurationError."""
    if path is None:
        return Configuration()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as failure:
        raise ConfigurationError(f"{path}: {' '.join(str(failure).split())}") from None
    _check_keys(content, {"allow"}, str(path))
    allow = content.get("allow") or {}
    _check_keys(allow, {one.name for one in fields(Policy)}, f"{path}: allow")
    for name, patterns in allow.items():
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise ConfigurationError(f"{path}: allow.{name} must be a list of patterns")
    return Configuration(Policy(**{name: tuple(patterns) for name, patterns in allow.items()}))


def _check_keys(content: object, known: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise ConfigurationError(f"{where} must be a mapping")
    if unknown := sorted(str(key) for key in content.keys() - known):
        raise ConfigurationError(f"{where}: {', '.join(unknown)} is not known; known are {', '.join(sorted(known))}")
