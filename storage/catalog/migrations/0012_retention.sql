-- Captures wait for their age: few at a time, whatever the size of the catalog.
CREATE INDEX recordings_captures_idx ON recordings (finalised_at, id)
    WHERE captures <> 'erased' AND state IN ('complete', 'interrupted', 'no-media');
