"""The names of what can be wrong with a run: the words that policy, triage and decisions share."""

from enum import StrEnum


class FailureClass(StrEnum):
    """What kind of failure a log shows; ``unknown`` is an honest answer and ``passing`` is no failure."""

    TEST_FAILURE = "test_failure"
    FLAKY_TEST = "flaky_test"
    BUILD_FAILURE = "build_failure"
    DEPENDENCY_RESOLUTION = "dependency_resolution"
    CACHE_CORRUPTION = "cache_corruption"
    RATE_LIMIT = "rate_limit"
    PERMISSION = "permission"
    AUTHENTICATION_OR_SECRET = "authentication_or_secret"  # noqa: S105 - a class of failure, not a secret
    TIMEOUT = "timeout"
    INFRASTRUCTURE = "infrastructure"
    SECURITY_SCAN = "security_scan"
    LINT_OR_FORMAT = "lint_or_format"
    WORKFLOW_CONFIGURATION = "workflow_configuration"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    PASSING = "passing"
