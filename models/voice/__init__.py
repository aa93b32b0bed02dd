"""A brand voice: a small adapter that teaches the language model how a shop speaks, trained on the shop's own approved copy."""
