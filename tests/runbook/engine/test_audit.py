"""R12: every tampering with the audit is found, by line; what was cut off, by the witness outside."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from runbook.canonical import canonical_json, digest
from runbook.engine import audit
from runbook.engine.ledger import Ledger
from runbook.engine.schema import AuditRow

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def append(session: Session, number: int, **changes: object) -> audit.AuditHead:
    """Append one line."""
    known: dict[str, object] = {
        "now": AT + timedelta(seconds=number),
        "actor": "runbook",
        "event": "thing.done",
        "subject": f"thing:{number}",
        "body": {"number": number},
    }
    return audit.append(session, **{**known, **changes})  # type: ignore[arg-type]


def filled(ledger: Ledger, lines: int = 6) -> list[audit.AuditHead]:
    """Return the heads after each of so many lines."""
    with ledger.write() as session:
        return [append(session, number) for number in range(1, lines + 1)]


def verify(ledger: Ledger, witness: str | None = None) -> audit.AuditVerdict:
    """Verify as the offline command does."""
    with ledger.read() as session:
        return audit.verify(session, witness=witness)


def test_an_empty_audit_is_intact(ledger: Ledger) -> None:
    assert verify(ledger).intact
    assert verify(ledger).head == audit.AuditHead(0, audit.GENESIS)
    assert verify(ledger, audit.GENESIS).intact


def test_an_untouched_audit_is_intact_for_every_witness(ledger: Ledger) -> None:
    heads = filled(ledger)
    assert (verify(ledger).lines, verify(ledger).head) == (6, heads[-1])
    assert all(verify(ledger, head.hash).intact for head in heads)


FIELDS: list[tuple[str, object]] = [
    ("actor", "mallory"),
    ("event", "thing.undone"),
    ("subject", "thing:9"),
    ("body", {"number": 9}),
    ("body", {"number": "3"}),
    ("at", AT),
    ("hash", "f" * 64),
]


@pytest.mark.parametrize(("field", "value"), FIELDS)
@pytest.mark.parametrize("seq", [1, 3, 6])
def test_a_changed_line_is_found(ledger: Ledger, seq: int, field: str, value: object) -> None:
    filled(ledger)
    with ledger.write() as session:
        session.execute(update(AuditRow).where(AuditRow.seq == seq).values({field: value}))
    verdict = verify(ledger)
    assert (verdict.intact, verdict.broken_at) == (False, seq)
    assert f"line {seq} was changed" in verdict.reason


@pytest.mark.parametrize("seq", [1, 3])
def test_a_missing_line_is_found(ledger: Ledger, seq: int) -> None:
    filled(ledger)
    with ledger.write() as session:
        session.execute(delete(AuditRow).where(AuditRow.seq == seq))
    verdict = verify(ledger)
    assert (verdict.broken_at, verdict.reason) == (seq + 1, f"line {seq} is missing")


def test_a_line_taken_out_with_the_others_moved_up_is_found(ledger: Ledger) -> None:
    filled(ledger)
    with ledger.write() as session:
        session.execute(delete(AuditRow).where(AuditRow.seq == 3))
        for seq in (4, 5, 6):
            session.execute(update(AuditRow).where(AuditRow.seq == seq).values(seq=seq - 1))
    assert verify(ledger).broken_at == 3


def test_reordered_lines_are_found(ledger: Ledger) -> None:
    filled(ledger)
    with ledger.write() as session:
        for old, new in ((3, 30), (4, 3), (30, 4)):
            session.execute(update(AuditRow).where(AuditRow.seq == old).values(seq=new))
    assert verify(ledger).broken_at == 3


def test_a_cut_tail_is_found_by_its_witness_alone(ledger: Ledger) -> None:
    heads = filled(ledger)
    with ledger.write() as session:
        session.execute(delete(AuditRow).where(AuditRow.seq > 4))
    assert verify(ledger).intact
    assert verify(ledger, heads[3].hash).intact
    verdict = verify(ledger, heads[5].hash)
    assert (verdict.intact, verdict.broken_at) == (False, 5)
    assert "cut off" in verdict.reason


def test_a_history_written_anew_is_found_by_its_witness_alone(ledger: Ledger) -> None:
    heads = filled(ledger)
    with ledger.write() as session:
        session.execute(delete(AuditRow))
        for number in range(1, 7):
            append(session, number, actor="mallory")
    assert verify(ledger).intact
    assert not verify(ledger, heads[-1].hash).intact


def test_a_beginning_written_anew_under_the_old_end_is_found(ledger: Ledger) -> None:
    """Every line then agrees with its own hash: only the seam tells."""
    filled(ledger)
    with ledger.write() as session:
        kept = [
            {column.name: getattr(row, column.name) for column in AuditRow.__table__.columns}
            for row in session.scalars(select(AuditRow).where(AuditRow.seq > 3))
        ]
        session.execute(delete(AuditRow))
        for number in range(1, 4):
            append(session, number, actor="mallory")
        session.execute(insert(AuditRow), kept)
    verdict = verify(ledger)
    assert (verdict.broken_at, verdict.reason) == (4, "line 4 does not follow from line 3")


def test_a_line_put_in_without_its_chain_is_found(ledger: Ledger) -> None:
    filled(ledger)
    with ledger.write() as session:
        session.add(
            AuditRow(
                seq=7,
                at=AT,
                actor="mallory",
                event="e",
                subject="s",
                body={},
                previous_hash=audit.GENESIS,
                hash="0" * 64,
            )
        )
    assert verify(ledger).broken_at == 7


def test_the_hash_is_over_utc_whatever_the_callers_zone(ledger: Ledger) -> None:
    with ledger.write() as session:
        append(session, 1, now=datetime(2026, 3, 2, 11, 0, tzinfo=timezone(timedelta(hours=2))))
    assert verify(ledger).intact


def test_what_others_said_is_scrubbed_wherever_it_stands(ledger: Ledger) -> None:
    token = "ghp_" + "a1B2c3D4" * 5
    with ledger.write() as session:
        append(
            session, 1, body={"reason": token, "by": [{"reason": f"see {token}"}], "deep": {"note": token}}
        )
    with ledger.read() as session:
        row = session.scalars(select(AuditRow)).one()
        assert token not in canonical_json(row.body)
        assert row.body["by"][0]["reason"] == "see ***"
    assert verify(ledger).intact


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=5), _JSON, max_size=3), min_size=1, max_size=4))
def test_whatever_is_noted_can_be_verified_afterwards(
    ledger: Ledger, bodies: list[dict[str, object]]
) -> None:
    with ledger.write() as session:
        for number, body in enumerate(bodies):
            append(session, number, body=body)
    assert verify(ledger).intact


@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=5))
def test_equal_data_has_one_canonical_form(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical_json(turned) == canonical_json(value)
    assert digest(turned) == digest(value)
    assert canonical_json(value).isascii()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_has_no_canonical_form(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"value": value})


@pytest.mark.parametrize("make", [lambda: AT, lambda: {1, 2}])
def test_only_json_has_a_canonical_form(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        canonical_json(make())
