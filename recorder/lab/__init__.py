"""A cluster on one machine, for trials and for tests: hosts are network namespaces on a bridge.

`network` makes them, `database` is the PostgreSQL that they share, `certificates` lets them know each other, `cluster`
puts a recorder into each, `command` is `recorder lab cluster`. Nothing here runs at a site.
"""
