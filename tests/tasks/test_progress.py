"""What progress shows of names that others chose."""

from typing import Any
from uuid import uuid4

import pytest

from tasks import progress


def test_a_jobs_name_is_shown_as_words_in_the_prefect_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is Markdown there: a picture's address would be fetched by whoever looks."""
    shown: list[str] = []

    def create(**artifact: Any) -> object:
        shown.append(artifact["description"])
        return uuid4()

    monkeypatch.setattr(progress, "create_progress_artifact", create)
    progress.Progress("Logs read", total=1).show(1, "![x](https://evil.test/seen.png) [y](https://evil.test)")
    assert shown[0].startswith("Logs read: ")
    assert "](" not in shown[0].replace("\\]", "")
    assert "https://" not in shown[0]
