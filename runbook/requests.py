"""What each procedure is asked: one typed request per flow, the form that the Prefect UI shows."""

import re
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from runbook.repository_name import RepositoryName

EVERY_REPOSITORY = "*"


class Mode(StrEnum):
    """How far a procedure goes."""

    PLAN = "plan"
    """Read everything, write nothing, show the plan."""
    APPLY = "apply"
    """Wait for approval, then act and verify."""


class ProcedureRequest(BaseModel):
    """What every procedure is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    repository: RepositoryName = Field(
        description="owner/name of a repository that the policy names.", examples=["acme/voice-agent"]
    )
    mode: Mode = Field(
        default=Mode.PLAN,
        description="plan: read everything, write nothing. apply: wait for approval, then act and verify.",
    )

    def canonical(self) -> dict[str, Any]:
        """Return it as JSON data without what was left out: the form that policies and ledgers compare."""
        given = self.model_dump(mode="json", exclude_defaults=True)
        return {**given, "repository": self.repository, "mode": self.mode.value}

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        return self.repository


class TriageRequest(ProcedureRequest):
    """Triage one failed attempt of a workflow run."""

    run_id: int = Field(description="The run's number, as in its address.", examples=[9876543210], gt=0)
    run_attempt: int | None = Field(
        default=None, description="The attempt; the newest one where left out.", examples=[1], gt=0
    )

    @property
    def subject(self) -> str:
        """Name the run."""
        return f"run {self.run_id}"


class ClearCachesRequest(ProcedureRequest):
    """Choose caches to delete; what is chosen must fit every field that is given."""

    cache_ids: tuple[int, ...] = Field(default=(), description="Entries by id.", examples=[[505, 506]])
    key: str | None = Field(
        default=None,
        description="Entries with exactly this key.",
        examples=["pip-Linux-0f3a"],
        min_length=1,
        max_length=512,
    )
    key_prefix: str | None = Field(
        default=None,
        description="Entries whose key begins so.",
        examples=["pip-Linux-"],
        min_length=1,
        max_length=512,
    )
    ref: str | None = Field(
        default=None,
        description="Entries of one branch, tag or pull request.",
        examples=["main", "refs/pull/12/merge", "#12"],
        min_length=1,
        max_length=255,
    )
    everything: bool = Field(default=False, description="Every cache of the repository.")

    @field_validator("ref")
    @classmethod
    def _full_ref(cls, ref: str | None) -> str | None:
        """Accept a branch's plain name and a pull request's number, as people write them."""
        if ref is None or ref.startswith("refs/"):
            return ref
        pull = re.fullmatch(r"#([0-9]+)", ref)
        return f"refs/pull/{pull[1]}/merge" if pull else f"refs/heads/{ref}"

    @model_validator(mode="after")
    def _chooses(self) -> "ClearCachesRequest":
        chosen = bool(self.cache_ids or self.key or self.key_prefix or self.ref)
        if not chosen and not self.everything:
            raise ValueError("say which caches: cache_ids, key, key_prefix, ref, or everything")
        if chosen and self.everything:
            raise ValueError("everything goes with no other choice")
        if self.key and self.key_prefix:
            raise ValueError("give a key or a key_prefix, not both")
        return self

    @property
    def choice(self) -> str:
        """Say what is chosen, in words."""
        if self.everything:
            return "every cache"
        parts = [
            f"ids {', '.join(map(str, self.cache_ids))}" if self.cache_ids else "",
            f"key {self.key}" if self.key else "",
            f"keys beginning with {self.key_prefix}" if self.key_prefix else "",
            f"ref {self.ref}" if self.ref else "",
        ]
        return " and ".join(part for part in parts if part)

    @property
    def subject(self) -> str:
        """Name repository and choice."""
        return f"caches of {self.repository}: {self.choice}"


LAST_KNOWN_GOOD = "last known good"


class RollbackImageRequest(ProcedureRequest):
    """Roll services back; what the policy moves together moves together or not at all."""

    services: tuple[str, ...] = Field(
        description="Services as the policy names them; what moves with them is added.",
        examples=[["tts-service"]],
        min_length=1,
    )
    to: dict[str, str] = Field(
        default={},
        description="By service: a revision's number, an image's tag, or its digest (sha256:…). The last known good "
        "revision for each that is left out.",
        examples=[{"tts-service": "41", "agent-service": "v1.4.2"}],
    )
    deployment_id: int | None = Field(
        default=None, description="The GitHub deployment whose failure asks for this, if one does.", gt=0
    )

    @model_validator(mode="after")
    def _names_each_once(self) -> "RollbackImageRequest":
        if len(set(self.services)) != len(self.services):
            raise ValueError("a service is named twice")
        blank = [name for name, to in self.to.items() if not to.strip()]
        if blank:
            raise ValueError(f"nothing is said for {', '.join(blank)}: give a revision, a tag or a digest")
        return self

    @property
    def subject(self) -> str:
        """Name the services."""
        return ", ".join(self.services)


class SweepRequest(ProcedureRequest):
    """Sweep everything the ledger knows; the repository field is the same for all and not looked at."""

    repository: str = Field(default="*", description="Not looked at: the sweeper serves all repositories.")
    mode: Mode = Field(default=Mode.APPLY, description="plan: only say what would be done.")


class ReconcileRequest(ProcedureRequest):
    """Look for failed runs that no webhook announced."""

    repository: str = Field(
        default=EVERY_REPOSITORY,
        description="owner/name of a repository that the policy names; * for all of them.",
        examples=["acme/voice-agent"],
    )
    mode: Mode = Field(default=Mode.APPLY, description="plan: only name what was missed.")
