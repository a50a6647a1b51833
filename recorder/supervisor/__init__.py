"""The supervisor: owns every socket that must survive a crash; spawns, watches and restarts the other processes.

Parses no protocol and holds no call. `sockets` and `rings` bind, `grants` says which process gets what they bound,
`edge_files` keeps certificates, profiles and users for the frontends, `child` is one process under watch, `choice`
names the active frontend, `control` answers `recorder-admin`, `supervisor` puts them together. Only
`recorder.commands` imports it.
"""
