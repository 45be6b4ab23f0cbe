"""Each built-in signature carries its tests: lines that it must match, and lines that only look like it."""

import re
import time

import pytest

from runbook.errors import PolicyError
from runbook.policy.estate import KnownIssue
from runbook.triage.catalogue import (
    Catalogue,
    Role,
    Signature,
    builtin_catalogue,
    catalogue_with,
    parse_signatures,
)
from runbook.triage.classes import FailureClass
from runbook.triage.lines import read_line
from runbook.triage.scan import scan_chunks

CATALOGUE = builtin_catalogue()
STAMP = "2026-11-24T06:00:00.0000000Z "


def _ids_found(line: str) -> set[str]:
    found = scan_chunks([(STAMP + line + "\n").encode()], CATALOGUE, name="log")
    return {hit.signature.id for hit in found.hits}


@pytest.mark.parametrize("signature", CATALOGUE.signatures, ids=lambda one: one.id)
def test_a_signature_is_found_in_each_of_its_examples_and_in_no_near_miss(signature: Signature) -> None:
    assert signature.examples, "a signature without an example is a guess"
    assert signature.near_misses, "a signature without a near miss was not thought to its end"
    for line in signature.examples:
        assert signature.id in _ids_found(line), line
    for line in signature.near_misses:
        assert signature.id not in _ids_found(line), line


@pytest.mark.parametrize("signature", CATALOGUE.signatures, ids=lambda one: one.id)
def test_a_signature_speaks_for_a_class_unless_it_is_a_marker(signature: Signature) -> None:
    assert (signature.failure_class is None) is (signature.role is Role.MARKER)
    assert signature.failure_class not in {FailureClass.UNKNOWN, FailureClass.PASSING}


def test_every_class_that_can_be_announced_has_a_signature() -> None:
    known = {signature.failure_class for signature in CATALOGUE.signatures}
    assert set(FailureClass) - {FailureClass.UNKNOWN, FailureClass.PASSING} <= known


def test_no_pattern_takes_long_on_a_line_made_to_be_slow() -> None:
    hostile = [
        read_line((unit * 4000).encode()[:8000]) for unit in ("a", " ", "1 ", "a.b/", "x: ", "é", "[E0] ")
    ]
    for index, signature in enumerate(CATALOGUE.signatures):
        begun = time.process_time()
        for line in hostile:
            CATALOGUE.confirm(index, line)
        assert time.process_time() - begun < 1.0, signature.id


def test_two_signatures_of_one_name_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"Two signatures are named a\.b"):
        Catalogue((Signature(id="a.b", pattern="x"), Signature(id="a.b", pattern="y")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[signature]", "mine.toml"),
        ('[[signature]]\nid = "a"\npattern = "("', "signature a"),
        ('[[signature]]\nid = "a"\npattern = "x"\ncolour = "red"', "colour"),
        ('[[signature]]\nid = "a"\npattern = "x"\nclass = "gremlins"', "signature a"),
    ],
)
def test_a_broken_signature_file_is_refused_with_its_name_and_reason(text: str, reason: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(reason)):
        parse_signatures(text, origin="mine.toml")


def _issue(pattern: str, example: str) -> KnownIssue:
    return KnownIssue(
        id="Flux capacitor",
        title="The flux capacitor is cold",
        failure_class=FailureClass.INFRASTRUCTURE,
        pattern=pattern,
        fix="Warm it up.",
        examples=(example,),
    )


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"flux capacitor is cold", "the flux capacitor is cold today"),
        (r"(?i)FLUX .*", "flux capacitor"),
        (r"^flux \d{2,4}$", "flux 1985"),
        (r"^(?:a|^flux) (?=cold)\w+$", "flux cold"),
        (r"[éü]{2,3} flux+", "éü flux"),
        (r"wärme{2} flux", "wärmee flux"),
    ],
)
def test_a_policys_own_signature_may_use_any_regular_expression(pattern: str, line: str) -> None:
    catalogue = catalogue_with((_issue(pattern, line),))
    found = scan_chunks([(STAMP + line + "\n").encode()], catalogue, name="log")
    mine = [hit for hit in found.hits if hit.signature.id == "policy.Flux capacitor"]
    assert [hit.text for hit in mine] == [line]
    assert mine[0].signature.proposal == "Warm it up."


def test_a_policys_own_signature_leaves_the_built_in_database_as_it_was_tested() -> None:
    catalogue = catalogue_with((_issue("flux", "flux"),))
    assert catalogue.databases[:-1] == CATALOGUE.databases


def test_without_known_issues_the_built_in_catalogue_is_shared() -> None:
    assert catalogue_with(()) is builtin_catalogue()


def test_a_pattern_that_matches_everything_is_refused() -> None:
    catalogue = catalogue_with((_issue("x*", "x"),))
    with pytest.raises(PolicyError, match="cannot be compiled"):
        scan_chunks([b"x\n"], catalogue, name="log")
