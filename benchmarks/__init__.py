"""Runs that measure or break the whole system; each prints a report and its exit status is its verdict."""
