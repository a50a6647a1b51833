"""A Media Server that places recording sessions and afterwards proves what the recorder kept.

`scenario` says what each call sends; `caller` is its SIP user agent client, `network` the sockets under it;
`rtp_sender` sends the speech at true pace; `journal` holds every packet and SIP message; `oracle` compares a recording
with the journal, sample by sample; `simulation` runs the calls, `verification` fetches the recordings, `command` is
`recorder simulate`.

`oracle`, `g711` and `audio_file` share no code with `media`: an error there must not hide itself here.
"""
