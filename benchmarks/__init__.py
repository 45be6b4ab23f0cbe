"""Every speed or quality claim as a command that prints ratios; not installed, and imported by no product code."""
