"""A live view of the state in the terminal, drawn by the package rich."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deisa_bridge.watching.text import sections


def draw(state: dict[str, Any]) -> Group:
    """One panel for each section."""
    panels = []
    for title, rows in sections(state, history=True):
        table = Table.grid(padding=(0, 1))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for label, text in rows:
            bad = label in ("waiting", "problem", "") or text.startswith(("died", "was abandoned"))
            table.add_row(label, Text(text, style="yellow" if bad else ""))
        panels.append(Panel(table, title=Text(title), title_align="left"))
    return Group(*panels)


def watch(look: Callable[[], dict[str, Any]], interval: float, console: Console | None = None) -> None:
    """Shows what look() returns, again and again, until Ctrl-C."""
    with Live(draw(look()), console=console, auto_refresh=False, screen=False) as live:
        while True:
            time.sleep(interval)
            live.update(draw(look()), refresh=True)
