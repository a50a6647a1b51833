"""The `[retention]` table of the settings, and the policy that it is."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from storage.errors import StorageMisused
from storage.retention import Policy, parse_rules

_GIGABYTE: Final = 10**9
_CallFact = Literal[
    "call_uuid", "conn_id", "ani", "dnis", "dn", "other_dn", "record_dn", "agent_id", "sips_app_name", "tenant"
]


class RetentionSettings(BaseModel):
    """How long recordings and captures are kept (docs/operations/retention.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    enabled: bool = Field(True, description="carry the policy out by itself; false: only `retention apply` does")
    every_minutes: float = Field(60.0, gt=0, le=10080, description="time between two looks at what is due")
    capture_days: float = Field(
        7.0, ge=-1, le=36500, description="days that captures are kept after finalising; 0: not at all, -1: for ever"
    )
    trace_days: float = Field(
        -1.0,
        ge=-1,
        le=36500,
        description="days that SIP messages are kept after the end of their month; -1: as long as their recordings",
    )
    min_days: float = Field(0.0, ge=0, le=36500, description="days before which no recording is deleted by anything")
    max_total_gb: float = Field(
        0.0, ge=0, le=1e9, description="size of all files (10^9 bytes) from which on the oldest go; 0: no limit"
    )
    low_water_percent: float = Field(90.0, gt=0, le=100, description="share of max_total_gb down to which they go")
    keep_facts: list[_CallFact] = Field([], description="call data that stay with the tombstone of a deletion")
    rules: list[dict[str, Any]] = Field([], description="rules, tried from top to bottom")

    @field_validator("rules")
    @classmethod
    def _rules_are_right(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            parse_rules(value)
        except StorageMisused as error:
            raise ValueError(str(error)) from None
        return value

    def policy(self) -> Policy:
        """Return the policy that these settings are."""
        return Policy(
            rules=parse_rules(self.rules),
            min_days=self.min_days,
            capture_days=None if self.capture_days < 0 else self.capture_days,
            trace_days=None if self.trace_days < 0 else self.trace_days,
            max_total_bytes=int(self.max_total_gb * _GIGABYTE) or None,
            low_water=self.low_water_percent / 100,
            keep_facts=tuple(self.keep_facts),
        )
