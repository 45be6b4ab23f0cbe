"""Whom the product calls, after how long, and where it speaks."""

from pydantic import Field

from runbook.policy.base import Channel, Count, Email, Handle, HttpsUrl, Name, Section

# An escalation step may name the author of the failing commit instead of an entry of [contacts].
COMMIT_AUTHOR = "commit_author"


class Contact(Section):
    """A person or a team, with at least one way to reach them."""

    name: Name = Field(description="As people say it.")
    github: Handle | None = Field(default=None, description="Mentioned in issues.")
    slack: Handle | None = Field(default=None, description="Mentioned in Slack.")
    email: Email | None = Field(default=None, description="Shown in incidents; the product sends no mail.")


class EscalationStep(Section):
    """Who is called once an incident has been open this long."""

    after_minutes: Count = Field(
        description="Minutes since the incident was opened; ascending (IR-23 to IR-26)."
    )
    role: Name = Field(description="What is expected of them, as the runbook words it.")
    contact: Name = Field(description='A name from [contacts], or "commit_author".')


class ExternalSupport(Section):
    """Somebody outside who can help (CO-01)."""

    name: Name = Field(description="As people say it.")
    url: HttpsUrl = Field(description="Where to ask.")


class Channels(Section):
    """Slack channels (IR-27, SR-15)."""

    incidents: Channel = Field(default="#engineering-alerts", description="One thread per incident.")
    security: Channel = Field(default="#security-incidents", description="Suspected compromises.")
