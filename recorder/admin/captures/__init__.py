"""`recorder-admin captures`: what writers left on disk; the one place where capture files and catalog meet for people.

`inventory` reads a directory, `taking` brings captures into the catalog; one module per subcommand around them.
"""
