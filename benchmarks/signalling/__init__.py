"""What signalling costs: set-ups, answers, dialogs, takeover of many. `python -m benchmarks.signalling`."""
