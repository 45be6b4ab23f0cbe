"""Pure functions of data and an explicit ``now``; each returns a typed outcome with its reason."""
