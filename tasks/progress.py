"""Progress as a Prefect artifact, updated in place."""

from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from runbook.report import words


class Progress:
    """One progress bar of a flow run.

    Args:
        description: What is progressing; shown above the bar.
        total: How many steps make 100 percent; at least 1.
    """

    def __init__(self, description: str, *, total: float) -> None:
        self._description = words(description)  # the Prefect UI shows it as Markdown
        self._total = max(1.0, total)
        self._artifact: UUID | None = None
        self._shown = -1.0

    def show(self, done: float, detail: str = "") -> None:
        """Show that ``done`` of the total is done; a change below one percent is not sent."""
        percent = round(min(100.0, 100.0 * done / self._total), 1)
        if percent - self._shown < 1.0 and percent < 100.0:
            return
        self._shown = percent
        text = f"{self._description}{': ' if detail else ''}{words(detail)}"
        if self._artifact is None:
            created = create_progress_artifact(progress=percent, description=text)
            assert isinstance(created, UUID)  # noqa: S101 - only an async caller gets a coroutine
            self._artifact = created
        else:
            update_progress_artifact(self._artifact, progress=percent, description=text)
