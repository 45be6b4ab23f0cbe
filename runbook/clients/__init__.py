"""One module per outside system; the only places that import its vendor's SDK.

Each turns the vendor's errors into the product's own (:mod:`runbook.errors`) and decides nothing.
"""
