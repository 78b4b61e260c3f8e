"""How all commands show their options: `-h` as `--help`, and no type beside a flag."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Commands get it from the group they belong to.
SETTINGS = {"help_option_names": ["-h", "--help"]}


def _untyped(parameters: list[Any]) -> list[Any]:
    """Newer typers show `<bool>` beside a flag, as if a value had to follow it."""
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
    """Let all commands of `app`, and of the groups in it, show their help like this."""
    app.info.cls = _Group
    app.info.context_settings = SETTINGS
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            use_help(group.typer_instance)
