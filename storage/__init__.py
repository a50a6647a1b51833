"""The PostgreSQL catalog, durable files and the administrator's commands. Knows nothing of SIP or RTP.

`postgres` (the embedded server), `catalog` (SQL, migrations, jobs), `files` (durable publication) carry `cli` and
`verify` (the offline verifier); `integrity` (hash chain, signatures), `encryption` and `retention` (rules) lie below
them and need no database. `exit_codes` is what scripts rely on, `inputs` opens what a person
names. `ownership` and `priority` are about files and processes of this machine.
"""
