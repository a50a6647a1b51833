-- Peaks of concurrent sessions are read by time. Rows come in that order, so that block ranges do, and cost an INVITE
-- nothing.
CREATE INDEX segments_opened_idx ON segments USING brin (opened_at) WITH (pages_per_range = 16, autosummarize = on);
