"""One installation as a process sees it: settings, policy, clients, ledger, engine, opened once.

Tasks and flows ask for it instead of being given clients: no credential becomes a parameter (R8).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import runbook.effects.catalogue  # noqa: F401 - enrols every effect that the journal may name
from runbook.automatic_remedies import automatic_remedy, read_switch
from runbook.clients.github_client import GitHubClient
from runbook.clients.helm_client import HelmClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import Clock, SystemClock
from runbook.engine.automatic import passed_without_person
from runbook.engine.effects import Effect
from runbook.engine.engine import Engine
from runbook.engine.gate import GateContext
from runbook.engine.ledger import Ledger
from runbook.engine.plans import StoredPlan
from runbook.engine.states import RequesterKind
from runbook.errors import Denied, Transient
from runbook.policy import Policy, load_policy
from runbook.policy.approvals import ApprovalRule, ScheduledRun
from runbook.scrub import install_log_scrubber
from runbook.settings import Settings
from runbook.triage.catalogue import Catalogue, catalogue_with
from runbook.world import World


@dataclass(frozen=True)
class Installation:
    """Settings and policy, and what is made from them when it is first needed.

    Args:
        settings: The environment's settings.
        policy: The policy in force.
        clock: Time.
        boundary: Handed to the journal; tests stop processes there.
        borrowed_token: The token is an approver's own, by which their terminal reads GitHub.
    """

    settings: Settings
    policy: Policy
    clock: Clock
    boundary: Callable[[str], None] = lambda name: None
    borrowed_token: bool = False

    @classmethod
    def open(cls, settings: Settings | None = None, *, clock: Clock | None = None) -> "Installation":
        """Read the settings and the policy; connect to nothing yet.

        Raises:
            UsageError: A setting makes no sense.
            PolicyError: The policy cannot be used.
        """
        install_log_scrubber()
        settings = settings or Settings.from_environment()
        return cls(settings=settings, policy=load_policy(settings.policy_file), clock=clock or SystemClock())

    @cached_property
    def github(self) -> GitHubClient:
        """GitHub as the product's own account."""
        return GitHubClient.from_settings(self.settings, purpose="act on GitHub", clock=self.clock)

    @cached_property
    def kubernetes(self) -> KubernetesClient:
        """The cluster that the services run in."""
        return KubernetesClient(self.settings.kubeconfig, clock=self.clock)

    @cached_property
    def helm(self) -> HelmClient:
        """Its Helm releases."""
        return HelmClient(self.settings.kubeconfig, program=self.settings.helm)

    @cached_property
    def product_login(self) -> str:
        """The account the product acts as; it never counts as an approver."""
        return self.policy.product_login or self._token_login

    @cached_property
    def _token_login(self) -> str:
        """Whose token it really is; a policy that names another account must not make it an approver's."""
        if self.borrowed_token and self.policy.product_login is not None:
            return self.policy.product_login
        try:
            return self.github.whoami()
        except Denied:
            if self.policy.product_login is None:
                raise
            return (
                self.policy.product_login
            )  # an app's token is nobody's; its account is a bot, which never counts

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.settings.ledger_url.get_secret_value())

    @cached_property
    def catalogue(self) -> Catalogue:
        """The signatures that logs are scanned for: the built-in ones and the policy's known issues."""
        return catalogue_with(self.policy.known_issues)

    @cached_property
    def world(self) -> World:
        """What effects act through."""
        return World(
            github=self.github,
            kubernetes=self.kubernetes,
            helm=self.helm,
            product_login=self.product_login,
            clock=self.clock,
        )

    @cached_property
    def engine(self) -> Engine:
        """The engine."""
        return Engine(self.ledger, world=self.world, timings=self.policy.timings, boundary=self.boundary)

    def gate_context(self, plan: StoredPlan) -> GateContext:
        """Return what the gate is to know about a plan now: the rule in force, freezes, our own accounts.

        Args:
            plan: The plan.
        """
        product_logins, away = self._product_logins()
        automatic = automatic_remedy(
            plan,
            policy=self.policy,
            ledger=self.ledger,
            github=self.github,
            product_logins=product_logins,
            now=self.clock.now(),
        )
        rule = self.approval_rule(plan)
        return GateContext(
            rule=rule.model_copy(update={"quorum": 0}) if automatic.automatic else rule,
            policy_digest=self.policy.digest,
            product_logins=product_logins,
            frozen=self._held_back(plan),
            automatic=automatic,
            people_wanted=rule.quorum,
            away=away,
        )

    def may_go_on(self, plan: StoredPlan) -> Callable[[Effect], None]:
        """Return what is asked before each effect of a plan: without a person's word, the kill switch (R11).

        Args:
            plan: The plan, past its gate.
        """
        if not passed_without_person(self.ledger, plan.id):
            return lambda effect: None
        return self._unless_stopped

    def _unless_stopped(self, effect: Effect) -> None:
        switch = read_switch(self.github, self.policy, product_logins=self._product_logins()[0])
        if switch.stopped:
            raise Denied(
                f"Without a person's approval, “{effect.describe()}” is not done now: {switch.reason}.",
                unchanged="What was done before is taken back.",
                next_step="release the switch and start the triage again, or act by hand",
            )

    def _product_logins(self) -> tuple[frozenset[str], Transient | None]:
        """Return the accounts the product acts as, and why GitHub could not say so, where it could not."""
        try:
            return frozenset({self.product_login.casefold(), self._token_login.casefold()}), None
        except Transient as error:
            if self.policy.product_login is None:
                raise  # somebody whom nobody can name must not approve, not even on the approval page
            return self.known_product_logins, error

    def _held_back(self, plan: StoredPlan) -> str:
        """Say why a plan may not be applied now, whoever approved it: a freeze, or a limit that has yet to end."""
        now = self.clock.now()
        frozen = self.policy.freeze(now, procedure=plan.plan.procedure, repository=plan.plan.repository)
        if frozen:
            return f"frozen until {frozen.end.isoformat()}: {frozen.name}"
        if plan.view.not_before is not None and now < plan.view.not_before:
            return f"the rate limit ends at {plan.view.not_before.isoformat(timespec='seconds')}"
        return ""

    @property
    def known_product_logins(self) -> frozenset[str]:
        """The accounts the product acts as, lower case, as far as that is known without asking GitHub."""
        told = self.__dict__.get("_token_login")  # what a cached property has found out
        return frozenset(login.casefold() for login in (self.policy.product_login, told) if login)

    def scheduled(self, procedure: str, request: Mapping[str, object]) -> ScheduledRun | None:
        """Return the schedule of the policy that sends exactly this request, if one does."""
        return self.policy.scheduled_run(procedure, dict(request))  # type: ignore[arg-type]

    def schedule_named(self, name: str | None, *, policy: Policy | None = None) -> ScheduledRun | None:
        """Return the schedule that a plan's requester names; None where the policy has it no longer.

        Args:
            name: Its name.
            policy: A policy that was read later than this installation's.
        """
        return next((one for one in (policy or self.policy).scheduled if one.name == name), None)

    def approval_rule(self, plan: StoredPlan, *, policy: Policy | None = None) -> ApprovalRule:
        """Return the approval rule in force for a plan: its procedure's in its repository, or its schedule's.

        Args:
            plan: The plan.
            policy: A policy that was read later than this installation's.
        """
        policy = policy or self.policy
        rule = policy.approval_rule(plan.plan.procedure, plan.plan.repository)
        if plan.requester_kind is RequesterKind.SCHEDULE:
            schedule = self.schedule_named(plan.requester, policy=policy)
            if schedule is not None:
                return rule.model_copy(update={"quorum": schedule.quorum})
        return rule


@lru_cache(maxsize=1)
def installation() -> Installation:
    """Return this process's installation, opened at the first call."""
    return Installation.open()
