"""Tests of the benchmarks: they run, small, and their ratios hold."""
