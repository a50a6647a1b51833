"""Search and reports on a catalog of many recordings."""
