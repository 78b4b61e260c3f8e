"""Help of all commands: `-h` is `--help`, and flags are shown without a type."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Commands inherit it from their group.
SETTINGS = {"help_option_names": ["-h", "--help"]}


def _untyped(parameters: list[Any]) -> list[Any]:
    """Remove `<bool>` beside flags, which newer typer versions show as if a value followed."""
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
    """Use this help for all commands of `app` and of the groups in it."""
    app.info.cls = _Group
    app.info.context_settings = SETTINGS
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            use_help(group.typer_instance)
