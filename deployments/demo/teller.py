"""How a story is told: stages with their seconds on standard error, one summary at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from deployments.cli.terminal import clean, laid_out


class Teller:
    """Tells one story.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.stages: list[dict[str, Any]] = []

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Show a step's title, and how long it took when it ends.

        Args:
            name: The step's name in the summary.
            title: What happens, for people.
        """
        started = time.monotonic()
        self._console.print(f"\n[bold cyan]▶ {clean(title)}[/]")
        mark = "[red]✗[/]"
        try:
            yield
            mark = "[green]✓[/]"
        finally:
            seconds = round(time.monotonic() - started, 2)
            self.stages.append({"name": name, "seconds": seconds})
            self._console.print(f"  {mark} [dim]{seconds:.1f} s[/]")

    def say(self, text: str) -> None:
        """Tell one line."""
        self._console.print(f"  {clean(text)}", markup=False, highlight=False, soft_wrap=True)

    def show(self, markdown: str, title: str) -> None:
        """Show Markdown as people see it on GitHub or in Prefect."""
        self._console.print(
            Panel(laid_out(markdown, addresses=False), title=clean(title), border_style="blue")
        )

    def summary(self, facts: dict[str, str]) -> None:
        """Show the story's end."""
        table = Table(title="Summary", show_header=False, title_style="bold")
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for name, value in facts.items():
            table.add_row(clean(name), clean(value))
        for stage in self.stages:
            table.add_row(f"seconds: {stage['name']}", f"{stage['seconds']:.1f}")
        self._console.print(table)
