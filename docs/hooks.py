"""Pages of the site that are generated from the code, so that no list of options is kept by hand."""

from __future__ import annotations

import re
from typing import Any

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from bayespress.cli.app import app


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference of commands (mkdocs calls this by its name)."""
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    return files


def commands_page() -> str:
    """Every command with its arguments and options, in Markdown."""
    group: Any = typer.main.get_command(app)
    parts = ["# Commands", _markdown(group.help), _markdown(group.epilog)]
    for name, command in group.commands.items():
        parts += [f"## bayespress {name}", _markdown(command.help), _table(command.params)]
    return "\n\n".join(parts) + "\n"


def _table(parameters: list[Any]) -> str:
    rows = ["| | |", "|---|---|"]
    for parameter in parameters:
        names = parameter.opts if parameter.param_type_name == "option" else [parameter.name.upper()]
        shown = ", ".join(f"`{name}`" for name in names)
        text = _markdown(parameter.help or "").replace("|", "\\|")
        default = "" if parameter.default in (None, False, "") else f" Default: `{parameter.default}`."
        rows.append(f"| {shown} | {text}{default} |")
    return "\n".join(rows)


def _markdown(text: str) -> str:
    """Rich's `[bold]command[/]` is how help shows a command, and `\\[` a bracket; angle brackets are not HTML."""
    shown = re.sub(r"\[bold\](.+?)\[/\]", r"`\1`", text, flags=re.DOTALL)
    return shown.replace("\\[", "[").replace("<", "&lt;")
