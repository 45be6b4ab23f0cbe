"""What a rollback's plan shows beside its effects."""

from runbook.decisions.last_known_good import Candidate, NotGood, Rejected, Sign
from runbook.decisions.time_served import TimeServed
from runbook.report.rollbacks import (
    WayBack,
    autoscalers_table,
    candidates_table,
    rollback_tables,
    staying_table,
    ways_table,
)
from runbook.workloads import Autoscaler, ContainerImage, Revision, Template
from tests.runbook.decisions.workload_facts import NOW, revision, template

BAD = revision(4, "v4", hours_ago=1, cause="deploy v4")
GOOD = revision(3, "v3", hours_ago=50, cause="deploy v3")
DIGEST = "sha256:" + "c" * 64


def way(**changes: object) -> WayBack:
    """Return the way from revision 4 to 3."""
    facts = {"service": "tts", "before": BAD, "after": GOOD, "why": "because", "migrations": (), **changes}
    return WayBack.model_validate(facts)


def test_from_and_to_are_shown_with_digests_ages_and_change_causes() -> None:
    table = ways_table([way(running=(DIGEST,), after_digest=DIGEST)], now=NOW)
    assert table.rows == (
        (
            "tts",
            "revision 4: ghcr.io/acme/tts:v4 (sha256:cccccccccccc), made 1 h ago, “deploy v4”",
            "revision 3: ghcr.io/acme/tts:v3 (sha256:cccccccccccc), made 2 d 2 h ago, “deploy v3”",
            "because",
        ),
    )


def test_a_way_on_which_no_image_changes_says_so() -> None:
    same = GOOD.model_copy(update={"template": template("v4", digest="other")})
    assert "the images stay the same" in ways_table([way(after=same)], now=NOW).rows[0][3]


def test_a_digest_in_a_name_is_shortened() -> None:
    images = (ContainerImage(container="app", image=f"ghcr.io/acme/tts:v2@{DIGEST}"),)
    old = GOOD.model_copy(update={"template": Template(digest="t", images=images)})
    assert "ghcr.io/acme/tts:v2@sha256:cccccccccccc, made" in ways_table([way(after=old)], now=NOW).rows[0][2]


def test_every_candidate_is_shown_with_what_is_known_and_whether_it_was_taken() -> None:
    def candidate(one: Revision, *, seconds: float | None = 7200) -> Candidate:
        served = TimeServed(seconds=seconds, detail="nobody can tell")
        return Candidate(revision=one, served=served, in_registry=Sign(holds=True, detail="it is there"))

    oldest = revision(1, "v1", hours_ago=90)
    short = revision(2, "v2", hours_ago=60)
    table = candidates_table(
        "tts",
        [candidate(oldest), candidate(short, seconds=None), candidate(GOOD)],
        chosen=oldest,
        rejected=[
            Rejected(revision=GOOD, why=NotGood.BARRED, detail="incident 7"),
            Rejected(revision=short, why=NotGood.SERVICE_UNKNOWN, detail=""),
        ],
    )
    assert [(row[0], row[2], row[-1]) for row in table.rows] == [
        ("3, “deploy v3”", "at least 2 h", "no: its image is barred (incident 7)"),
        ("2", "nobody can tell", "no: nobody can tell how long it was in service"),
        ("1", "at least 2 h", "yes"),
    ]
    assert table.rows[0][3:6] == ("not looked at", "not looked at", "it is there")


def test_config_maps_secrets_and_migrations_that_do_not_go_back_are_named() -> None:
    before = BAD.model_copy(update={"template": template("v4", config_maps=("kept", "new"), secrets=("s",))})
    after = GOOD.model_copy(update={"template": template("v3", config_maps=("kept", "old"), secrets=("s",))})
    rows = staying_table([way(before=before, after=after, migrations=("db/migrations/7.sql",))]).rows
    assert [row[1] for row in rows] == [
        "config map kept",
        "config map old",
        "config map new",
        "secret s",
        "migration db/migrations/7.sql",
    ]
    assert "must still be there" in rows[1][2]
    assert "no longer referred to" in rows[2][2]


def test_that_nobody_knows_of_migrations_is_said() -> None:
    assert staying_table([way(migrations=None)]).rows == (
        ("tts", "database migrations", "nobody can tell whether there were any"),
    )
    assert staying_table([way()]).rows == ()


def test_autoscalers_are_shown_and_tables_without_rows_left_out() -> None:
    scaler = Autoscaler(name="tts", minimum=2, maximum=9, current=3, desired=5)
    assert autoscalers_table([way(autoscaler=scaler), way()]).rows == (
        (
            "tts",
            "tts",
            "3 of 2 to 9, wants 5",
            "go on scaling: a rollback leaves the number of replicas alone",
        ),
    )
    assert [table.title for table in rollback_tables([way()], [], now=NOW)] == ["From and to"]
