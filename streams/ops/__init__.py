"""What operators see and touch: logs, metrics, lag, probes, dead letters, and the processes themselves."""
