"""Redaction: a stretch of a call is silenced for good, in everything that holds it.

`plan` finds the stretch in the copies of a recording and in the masters made of them (pure); `making` makes one file
without it, in whatever store and form; `telling` writes it into gaps and ledger (pure); `redactor` does one recording,
so that a death anywhere loses nothing. The curator's jobs and `recorder-admin recordings redact` use it. May import
`recorder.depot`, `media` and `storage`.
"""

from recorder.redaction.plan import RedactionPlan, plan_redaction
from recorder.redaction.redactor import Redactor

__all__ = ["RedactionPlan", "Redactor", "plan_redaction"]
