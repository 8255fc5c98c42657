"""The redaction rules of a project: the built-in ones plus its own from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.errors import ConfigurationInvalid
from stepstream.store.secret_rules import DEFAULT_RULES

if TYPE_CHECKING:
    from stepstream.settings import RedactionSettings
    from stepstream.store.secret_rules import RedactionRules


def redaction_rules(settings: RedactionSettings) -> RedactionRules | None:
    """The rules to redact by; None when redaction is off.

    Raises:
        ConfigurationInvalid: A pattern of the project's is unusable.
    """
    if not settings.enabled:
        return None
    if not (settings.patterns or settings.names):
        return DEFAULT_RULES
    try:
        return DEFAULT_RULES.extended_from(settings.model_dump(mode="json", include={"patterns", "names"}))
    except ValueError as error:
        raise ConfigurationInvalid("[redaction]", "unusable", str(error)) from None
