"""One module per runbook section; a flow reads like the page it executes."""
