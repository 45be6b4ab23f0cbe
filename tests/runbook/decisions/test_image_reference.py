"""RB-01: what an image's name says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.image_reference import (
    commit_of,
    is_digest,
    is_tag,
    parse_image,
    same_image,
    same_repository,
)

D = "sha256:" + "a" * 64
E = "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("nginx", ("docker.io", "library/nginx", "latest", "")),
        ("nginx:1.27", ("docker.io", "library/nginx", "1.27", "")),
        ("acme/tts", ("docker.io", "acme/tts", "latest", "")),
        ("docker.io/nginx", ("docker.io", "library/nginx", "latest", "")),
        ("index.docker.io/acme/tts:v1", ("docker.io", "acme/tts", "v1", "")),
        ("ghcr.io/acme/tts:v1", ("ghcr.io", "acme/tts", "v1", "")),
        (f"ghcr.io/acme/tts@{D}", ("ghcr.io", "acme/tts", "", D)),
        (f"ghcr.io/acme/tts:v1@{D}", ("ghcr.io", "acme/tts", "v1", D)),
        ("localhost/tts", ("localhost", "tts", "latest", "")),
        ("localhost:5000/a/b/c:v1", ("localhost:5000", "a/b/c", "v1", "")),
        ("registry:5000/tts", ("registry:5000", "tts", "latest", "")),
        ("[::1]:5000/tts:v1", ("[::1]:5000", "tts", "v1", "")),
        ("tts:5000", ("docker.io", "library/tts", "5000", "")),
        ("Registry/tts", ("Registry", "tts", "latest", "")),
        ("a__b/c-d--e.f", ("docker.io", "a__b/c-d--e.f", "latest", "")),
    ],
)
def test_a_name_is_read_with_dockers_defaults(text: str, parts: tuple[str, str, str, str]) -> None:
    read = parse_image(text)
    assert read is not None
    assert (read.registry, read.repository, read.tag, read.digest) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ":v1",
        "tts:",
        "tts:v 1",
        "tts:v1\n",
        "tts\n:v1",
        "-tts",
        "tts-",
        "a//b",
        "/tts",
        "tts/",
        "ACME/x/TTS",
        "tts@",
        "tts@sha256:abc",
        f"tts@{D.upper()}",
        f"tts@{D}@{D}",
        "tts:" + "x" * 129,
        "tts:.v1",
        "--help",
        "tts;rm -rf /",
        "tts$(id)",
        "ghcr.io:99x/tts",
        "ghcr..io/tts",
        "a___b",
        "ü/tts",
        "ghcr.io/" + "a/" * 130 + "a",
        "a" * 100_000,
        "a-" * 100_000,
    ],
)
def test_what_no_registry_takes_for_a_name_is_none(text: str) -> None:
    assert parse_image(text) is None


@given(st.text(max_size=60) | st.from_regex(r"[a-z.:/@\-_0-9]{0,40}", fullmatch=True))
def test_what_is_read_is_read_the_same_once_written(text: str) -> None:
    read = parse_image(text)
    if read is not None:
        assert parse_image(str(read)) == read


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("nginx", "docker.io/library/nginx:latest", True),
        ("ghcr.io/a/b:v1", "ghcr.io/a/b:v2", False),
        ("ghcr.io/a/b:v1", "ghcr.io/a/c:v1", False),
        ("ghcr.io/a/b:v1", "docker.io/a/b:v1", False),
        (f"ghcr.io/a/b:v1@{D}", f"ghcr.io/a/b:v2@{D}", True),
        (f"ghcr.io/a/b:v1@{D}", f"ghcr.io/a/b:v1@{E}", False),
        (f"ghcr.io/a/b:v1@{D}", "ghcr.io/a/b:v1", False),
        ("not an image", "not an image", True),
        ("not an image", "nginx", False),
    ],
)
def test_two_names_are_one_image_only_where_that_is_certain(one: str, other: str, same: bool) -> None:
    assert same_image(one, other) is same
    assert same_image(other, one) is same


def test_a_repository_is_told_apart_from_its_tags() -> None:
    assert same_repository("tts", "docker.io/library/tts:v1")
    assert not same_repository("tts", "tts2")
    assert not same_repository("no image", "no image")


@pytest.mark.parametrize(
    ("tag", "commit"),
    [
        ("abcdef1", "abcdef1"),
        ("a" * 40, "a" * 40),
        ("0" * 40, "0" * 40),
        ("sha-abcdef1", "abcdef1"),
        ("sha-1234567", "1234567"),
        ("main-abcdef1", "abcdef1"),
        ("feature-x-abcdef12", "abcdef12"),
        ("v1.2.0-3-gabcdef1", "abcdef1"),
        ("v1.2.0-3-g1234567", "1234567"),
        ("abcdef", ""),
        ("a" * 41, ""),
        ("20260302", ""),
        ("main-20260302", ""),
        ("v1.4.2", ""),
        ("latest", ""),
        ("gabcdef1", ""),
        ("ABCDEF1", ""),
        ("", ""),
        ("main_abcdef1", ""),
    ],
)
def test_a_tag_names_a_commit_only_where_it_is_made_of_one(tag: str, commit: str) -> None:
    assert commit_of(tag) == commit


@given(st.text(max_size=140))
def test_a_commit_is_always_seven_to_forty_hexadecimal_digits(tag: str) -> None:
    commit = commit_of(tag)
    assert not commit or (7 <= len(commit) <= 40 and set(commit) <= set("0123456789abcdef"))


def test_a_digest_and_a_tag_are_told_apart() -> None:
    assert is_digest(D)
    assert not is_tag(D)
    assert is_tag("v1")
    assert not is_digest("sha256:v1")
