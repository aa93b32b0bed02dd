"""Baselines that need a peer library, and how every baseline was tuned."""
