-- What the consumers of events keep. Events come at least once and in any order: event_receipts makes each count once,
-- and what is kept does not depend on their order.

-- Which consumer has had which event. Older ones are removed; the index by time is tiny, since rows come in its order.
CREATE TABLE event_receipts (
    consumer    text NOT NULL,
    event_id    uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT event_receipts_pkey PRIMARY KEY (consumer, event_id)
);
CREATE INDEX event_receipts_by_age ON event_receipts USING brin (received_at);

-- Events that a consumer gave up on, whole, for an operator to look at and replay.
CREATE TABLE dead_letters (
    consumer  text NOT NULL,
    event_id  uuid NOT NULL,
    event     jsonb NOT NULL,
    attempts  integer NOT NULL,
    reason    text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT dead_letters_pkey PRIMARY KEY (consumer, event_id)
);

-- Notifications on their way. A row is claimed by moving next_at on; when the claimer dies, it comes up again.
CREATE TABLE webhook_deliveries (
    event_id uuid PRIMARY KEY,
    event    jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at);

-- For a dashboard: what happened, per concert and minute.
CREATE TABLE concert_minutes (
    concert_id bigint NOT NULL,
    minute     timestamptz NOT NULL,
    topic      text NOT NULL,
    events     bigint NOT NULL,
    seats      bigint NOT NULL,
    CONSTRAINT concert_minutes_pkey PRIMARY KEY (concert_id, minute, topic),
    CONSTRAINT concert_minutes_concert_id_fkey FOREIGN KEY (concert_id) REFERENCES concerts (id)
);

-- For the books: money taken and given back, per concert and day of the time zone that the worker was set to.
CREATE TABLE settlement_days (
    concert_id bigint NOT NULL,
    day        date NOT NULL,
    time_zone  text NOT NULL,
    currency   char(3) NOT NULL,
    payments   bigint NOT NULL,
    paid       bigint NOT NULL,
    refunds    bigint NOT NULL,
    refunded   bigint NOT NULL,
    CONSTRAINT settlement_days_pkey PRIMARY KEY (concert_id, day, time_zone, currency),
    CONSTRAINT settlement_days_concert_id_fkey FOREIGN KEY (concert_id) REFERENCES concerts (id)
);

-- Those of p_events (an array of whole events) that this consumer has not had. They count as had from the commit on.
-- By id, so that two workers with the same events can not wait for each other.
CREATE FUNCTION events_receive(p_consumer text, p_events jsonb)
RETURNS TABLE (id uuid, topic text, schedule_id bigint, occurred_at timestamptz, payload jsonb, event jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH given AS (
        SELECT DISTINCT ON ((e ->> 'id')::uuid) (e ->> 'id')::uuid AS id, e FROM jsonb_array_elements(p_events) AS e
        ORDER BY (e ->> 'id')::uuid
    ), fresh AS (
        INSERT INTO event_receipts (consumer, event_id) SELECT p_consumer, given.id FROM given ORDER BY given.id
        ON CONFLICT DO NOTHING RETURNING event_id
    )
    SELECT given.id, e ->> 'topic', (e ->> 'schedule_id')::bigint, (e ->> 'occurred_at')::timestamptz, e -> 'payload', e
    FROM given JOIN fresh ON fresh.event_id = given.id;
END $$;

-- Consumers: each takes an array of events and returns how many of them were new to it.

CREATE FUNCTION consume_statistics(p_events jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_new bigint;
BEGIN
    WITH fresh AS MATERIALIZED (
        SELECT * FROM events_receive('statistics', p_events)
    ), counted AS (
        INSERT INTO concert_minutes AS kept (concert_id, minute, topic, events, seats)
        SELECT s.concert_id, date_trunc('minute', f.occurred_at), f.topic, count(*),
               coalesce(sum(jsonb_array_length(f.payload -> 'lines')), 0)
        FROM fresh f JOIN concert_schedules s ON s.id = f.schedule_id
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT ON CONSTRAINT concert_minutes_pkey DO UPDATE
            SET events = kept.events + excluded.events, seats = kept.seats + excluded.seats
    )
    SELECT count(*) INTO v_new FROM fresh;
    RETURN v_new;
END $$;

-- A day begins at midnight in p_time_zone (a name such as Asia/Seoul; another one than before begins rows of its own).
CREATE FUNCTION consume_settlement(p_events jsonb, p_time_zone text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_new bigint;
BEGIN
    WITH fresh AS MATERIALIZED (
        SELECT * FROM events_receive('settlement', p_events)
    ), money AS (
        SELECT f.*, (f.payload ->> 'amount')::bigint AS amount, f.topic = 'payment.refunded' AS back FROM fresh f
    ), booked AS (
        INSERT INTO settlement_days AS kept
            (concert_id, day, time_zone, currency, payments, paid, refunds, refunded)
        SELECT s.concert_id, (m.occurred_at AT TIME ZONE p_time_zone)::date, p_time_zone, m.payload ->> 'currency',
               count(*) FILTER (WHERE NOT m.back), coalesce(sum(m.amount) FILTER (WHERE NOT m.back), 0),
               count(*) FILTER (WHERE m.back), coalesce(sum(m.amount) FILTER (WHERE m.back), 0)
        FROM money m JOIN concert_schedules s ON s.id = m.schedule_id
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT ON CONSTRAINT settlement_days_pkey DO UPDATE
            SET payments = kept.payments + excluded.payments, paid = kept.paid + excluded.paid,
                refunds = kept.refunds + excluded.refunds, refunded = kept.refunded + excluded.refunded
    )
    SELECT count(*) INTO v_new FROM fresh;
    RETURN v_new;
END $$;

CREATE FUNCTION consume_notification(p_events jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_new bigint;
BEGIN
    WITH fresh AS MATERIALIZED (
        SELECT * FROM events_receive('notification', p_events)
    ), queued AS (
        INSERT INTO webhook_deliveries (event_id, event) SELECT f.id, f.event FROM fresh f
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) INTO v_new FROM fresh;
    RETURN v_new;
END $$;
