"""Who may do what: role-based access as far as one account's rules go."""

from dataclasses import dataclass

from sandbox.wire import Json, Refused


@dataclass(frozen=True)
class Access:
    """What a request wants to do.

    Attributes:
        verb: ``get``, ``list``, ``create``, ``patch``, …
        group: API group; empty for the core.
        plural: ``deployments``.
        subresource: ``log`` of a pod, ``proxy`` of a service; else empty.
        namespace: Empty at the cluster scope.
        name: Empty for a whole list.
    """

    verb: str
    group: str
    plural: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def resource(self) -> str:
        """``pods/log``, as rules and errors write it."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


def allowed(rules: list[Json] | None, access: Access) -> bool:
    """Return whether rules allow it; None allows everything.

    A rule is a role's (``apiGroups``, ``resources``, ``verbs``, ``resourceNames``) or, shorter,
    ``{verb, resource, group}``; ``namespace`` limits either to one.
    """
    return rules is None or any(_matches(rule, access) for rule in rules)


def _matches(rule: Json, access: Access) -> bool:
    verbs = rule.get("verbs", [rule.get("verb")])
    groups = rule.get("apiGroups", [rule.get("group", "")])
    resources = rule.get("resources", [rule.get("resource")])
    names = rule.get("resourceNames") or []
    # The proxy calls a service "http:name:port"; resourceNames would have to spell it so too.
    return (
        bool({access.verb, "*"} & set(verbs))
        and bool({access.group, "*"} & set(groups))
        and bool({access.resource, "*"} & set(resources))
        and (not names or access.name in names)
        and rule.get("namespace", access.namespace) == access.namespace
    )


def forbidden(user: str, access: Access) -> Refused:
    """Return the API server's refusal."""
    what = f"{access.plural}.{access.group}" if access.group else access.plural
    named = f'{what} "{access.name}"' if access.name else what
    where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    text = (
        f'{named} is forbidden: User "{user}" cannot {access.verb} resource "{access.resource}" '
        f'in API group "{access.group}" {where}'
    )
    details = {"name": access.name, "group": access.group, "kind": access.plural}
    details = {key: value for key, value in details.items() if value}
    return Refused(403, text, extra={"reason": "Forbidden", "details": details})
