"""The README's pictures: the demo's real incident and plan as SVG, by ``python -m deployments.demo.pictures``."""

import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI

from deployments.cli.terminal import clean, laid_out
from deployments.demo import cache_corruption
from deployments.demo.stage import stage
from deployments.demo.teller import Teller

FOLDER = Path("docs/pictures")
COLUMNS = 120
PICTURES = {"What triage found": "incident", "The plan, on the incident's issue": "plan"}
"""Which of the story's documents are drawn, and under which name."""

# Rich's own frame loads its font from elsewhere; a picture must be whole by itself. Its comment goes too.
_FRAME = re.sub(r"@font-face \{\{.*?\}\}|<!--.*?-->", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


class Draughtsman(Teller):
    """Tells the story and keeps the documents that are to be drawn."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.documents: dict[str, str] = {}

    def show(self, markdown: str, title: str) -> None:
        """Keep a document, and show it as the demo does."""
        super().show(markdown, title)
        if title in PICTURES:
            self.documents[title] = markdown


def picture(markdown: str, *, title: str, name: str) -> str:
    """Return Markdown as a terminal shows it, as an SVG that loads nothing.

    Args:
        markdown: What to draw.
        title: Stands in its frame.
        name: Tells it from other pictures on one page.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False, force_terminal=True)
    console.print(laid_out(markdown, addresses=False))
    return console.export_svg(title=clean(title), theme=MONOKAI, code_format=_FRAME, unique_id=name)


def main() -> None:
    """Play the story on a stage of its own and write its pictures."""
    teller = Draughtsman(Console(file=sys.stderr, highlight=False))
    with stage(report=teller.say) as ready:
        cache_corruption.tell(ready, teller)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for title, markdown in teller.documents.items():
        name = PICTURES[title]
        (FOLDER / f"{name}.svg").write_text(picture(markdown, title=title, name=name), encoding="utf-8")


if __name__ == "__main__":
    main()
