-- Tickets as they were signed, once for each reservation. A reservation that was cancelled keeps its row and has no
-- ticket: whoever serves one looks at refunds.

CREATE TABLE tickets (
    reservation_id uuid PRIMARY KEY,
    schedule_id    bigint NOT NULL,
    token          text NOT NULL,
    issued_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT tickets_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES concert_schedules (id)
);

-- Keeps the tickets of reservations and tells of each, unless they have one. Returns how many had none.
CREATE FUNCTION issue_tickets(p_reservations uuid[], p_tokens text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_new bigint;
BEGIN
    WITH given AS (
        SELECT r.id, r.schedule_id, r.user_id, r.lines, g.token
        FROM unnest(p_reservations, p_tokens) AS g (id, token) JOIN reservations r ON r.id = g.id
    ), kept AS (
        -- By id, so that two that issue the same can not wait for each other.
        INSERT INTO tickets (reservation_id, schedule_id, token) SELECT id, schedule_id, token FROM given ORDER BY id
        ON CONFLICT DO NOTHING RETURNING reservation_id
    ), told AS (
        INSERT INTO outbox (topic, schedule_id, payload)
        SELECT 'ticket.issued', g.schedule_id, jsonb_build_object(
            'reservation_id', g.id, 'user_id', g.user_id, 'lines', g.lines)
        FROM given g JOIN kept ON kept.reservation_id = g.id ORDER BY g.id
    )
    SELECT count(*) INTO v_new FROM kept;
    RETURN v_new;
END $$;
