-- The way out of the outbox: what has been relayed, who relays what, and a bell that rings only for a sleeping relay.
-- What was written before counts as not relayed yet. Writers wait while the index is built.

ALTER TABLE outbox ADD COLUMN relayed_at timestamptz;

-- Schedules are spread over lanes; events of one schedule are always in one lane, in the order of their ids.
-- Partial: holds what is still to be relayed, however much is kept.
CREATE INDEX outbox_pending ON outbox ((schedule_id % 16), id) WHERE relayed_at IS NULL;

-- Its rows are only ever locked: whoever has one relays the events of its schedules, alone.
CREATE TABLE outbox_lanes (
    lane integer PRIMARY KEY
);
INSERT INTO outbox_lanes SELECT generate_series(0, 15);

-- One row: whether a relay has found nothing to do and waits.
CREATE TABLE outbox_bell (
    only_row boolean PRIMARY KEY DEFAULT true,
    asleep   boolean NOT NULL,
    CONSTRAINT outbox_bell_one_row CHECK (only_row)
);
INSERT INTO outbox_bell (asleep) VALUES (false);

-- NOTIFY makes commits wait for each other, all of them on one lock of the whole server; so it is left out while
-- every relay is busy, which is when there are many.
CREATE FUNCTION outbox_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT asleep FROM outbox_bell) THEN
        PERFORM pg_notify('outbox', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_ring AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_ring();

-- Many rows change their state once: without this, half the table may be dead before it is cleaned.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
