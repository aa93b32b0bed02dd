"""Recommendations over HTTP: the same lists as on the topic, with the same traces, for whoever asks."""
