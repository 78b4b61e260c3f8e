"""Adapts the help of all commands: `-h` works like `--help`, and flags are shown without a type."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Set on a group, and inherited by its commands.
SETTINGS = {"help_option_names": ["-h", "--help"]}


def _untyped(parameters: list[Any]) -> list[Any]:
    """Remove `<bool>` after flags, which newer versions of typer show as if they took a value."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _untyped(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _untyped(super().get_params(ctx))


def use_help(app: typer.Typer) -> None:
    """Apply these settings to all commands of `app` and of its groups."""
    app.info.cls = _Group
    app.info.context_settings = SETTINGS
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            use_help(group.typer_instance)
