"""Health and metrics over HTTP, in a process of its own: a slow scraper never delays signalling.

Knows only what the supervisor's status says. `health` holds the routes, `metrics` their Prometheus form.
"""
