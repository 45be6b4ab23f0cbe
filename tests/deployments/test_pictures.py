"""The README's pictures load nothing and are those that are committed."""

import re
from pathlib import Path

import pytest

from deployments.demo import pictures

COMMITTED = Path(__file__).parents[2] / pictures.FOLDER


def test_a_picture_shows_its_text_and_loads_nothing() -> None:
    drawn = pictures.picture("**Blast radius:** [none](http://127.0.0.1:1/x)", title="Plan", name="plan")
    assert "Blast" in drawn
    _require_whole(drawn)


@pytest.mark.parametrize("name", pictures.PICTURES.values())
def test_the_readme_shows_committed_pictures_that_load_nothing(name: str) -> None:
    readme = (COMMITTED.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"docs/pictures/{name}.svg" in readme
    _require_whole((COMMITTED / f"{name}.svg").read_text(encoding="utf-8"))


def _require_whole(drawn: str) -> None:
    assert "@font-face" not in drawn
    assert "@import" not in drawn
    assert set(re.findall(r"https?://[^\s\"'<)]+", drawn)) == {"http://www.w3.org/2000/svg"}
