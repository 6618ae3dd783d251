"""The option of commands that read recovery points from before there was a key."""

from __future__ import annotations

import click

from shared import settings
from shared.settings import Settings

unsealed_option = click.option(
    "--unsealed", is_flag=True, help="Take a point without a seal, made before there was a key."
)


def load(*, unsealed: bool) -> Settings:
    """The settings; the option can only switch ``backup_unsealed`` on."""
    return settings.load(backup_unsealed=True) if unsealed else settings.load()
