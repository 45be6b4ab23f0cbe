"""Drills: a procedure rehearsed in the sandbox under the user's own policy, with a dated report.

Here is what makes a scenario of a policy, plays the people it names, and tells how it went. The stage itself is the
demo's; what the sandbox does with a scenario is the sandbox's matter.
"""
