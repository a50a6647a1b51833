"""The storage administrator's commands, which `recorder-admin` composes.

One module per subcommand, each with an options value and a `run` function that needs no process; `groups` is their
table, from which `on_demand` loads them. `context` says what the composing application supplies,
`storage.exit_codes` what a script can rely on.
"""
