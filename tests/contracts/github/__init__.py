"""GitHub's documented rules, stated over plain HTTP; never through the product's code."""
