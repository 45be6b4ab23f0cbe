"""What is said about each class: what it is, and what to do about it."""

from runbook.triage.classes import FailureClass

WHAT: dict[FailureClass, str] = {
    FailureClass.TEST_FAILURE: "Tests failed",
    FailureClass.FLAKY_TEST: "A test failed and then passed",
    FailureClass.BUILD_FAILURE: "The build failed",
    FailureClass.DEPENDENCY_RESOLUTION: "Dependencies could not be resolved",
    FailureClass.CACHE_CORRUPTION: "A cache or a downloaded package is corrupt",
    FailureClass.RATE_LIMIT: "A service limited the rate of requests",
    FailureClass.PERMISSION: "A permission is missing",
    FailureClass.AUTHENTICATION_OR_SECRET: "A credential is missing, wrong or expired",
    FailureClass.TIMEOUT: "A time limit was exceeded",
    FailureClass.INFRASTRUCTURE: "The runner, the network or a service failed",
    FailureClass.SECURITY_SCAN: "A security scan ended with findings",
    FailureClass.LINT_OR_FORMAT: "A linter, formatter or type checker ended with findings",
    FailureClass.WORKFLOW_CONFIGURATION: "The workflow or its script is wrong",
    FailureClass.CANCELLED: "The job was cancelled",
    FailureClass.UNKNOWN: "No known signature explains the failure",
    FailureClass.PASSING: "Nothing in the log failed",
}

PROPOSAL: dict[FailureClass, str] = {
    FailureClass.TEST_FAILURE: "Reproduce the first failing test at this commit, then fix it or revert the change.",
    FailureClass.FLAKY_TEST: "Re-run the failed jobs once and open an issue for the test: it depends on luck.",
    FailureClass.BUILD_FAILURE: "Fix the first error named at this commit, or revert the change that brought it.",
    FailureClass.DEPENDENCY_RESOLUTION: "Correct the requirement or bring the lock file up to date.",
    FailureClass.CACHE_CORRUPTION: "Delete the implicated caches and re-run the failed jobs.",
    FailureClass.RATE_LIMIT: "Wait for the limit's reset and re-run; log in or use a mirror to have a higher limit.",
    FailureClass.PERMISSION: "Grant the job's token or role the permission that is named, then re-run.",
    FailureClass.AUTHENTICATION_OR_SECRET: "Check that the secret exists, is current and reaches this job; rotate it.",
    FailureClass.TIMEOUT: "Look at what hung or grew; re-run once, then raise the limit or split the job.",
    FailureClass.INFRASTRUCTURE: "Re-run the failed jobs; if it comes back, look at the service that is named.",
    FailureClass.SECURITY_SCAN: "Update what the finding names to its fixed version, or record an exception.",
    FailureClass.LINT_OR_FORMAT: "Run the same tool locally, correct its findings, and push.",
    FailureClass.WORKFLOW_CONFIGURATION: "Correct the workflow or the script it calls at the line that is named.",
    FailureClass.CANCELLED: "Find out who or what cancelled it; re-run it if it is still wanted.",
    FailureClass.UNKNOWN: "Read the failed step's log; a signature for it can go into the policy's known issues.",
    FailureClass.PASSING: "Nothing needs to be done.",
}
