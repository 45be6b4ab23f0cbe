"""Suites that need real components; run by `make integration`, never by `make test`."""
