-- Holds that run out are told of when they do, not when somebody wants their seats next. Adds a function and an
-- index (built at once: writers to seat_holds wait for as long as it takes to read that table).

CREATE INDEX seat_holds_running_out ON seat_holds (expires_at) WHERE status = 'ACTIVE';

-- Frees the seats of at most p_limit holds that ran out and tells of each hold once.
-- Returns {"expired", "schedules": [id, …]}: how many holds ended by this, and where seats became free.
-- Never waits for a seat: whoever has it locked is paying for it, giving it back or taking it, and a hold of which one
-- seat is locked is left for the next time. Locks: seats by id, skipping locked ones → holds by id.
CREATE FUNCTION sweep_holds(p_limit integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    -- A variable, because an index can not be asked for a volatile function.
    v_now       timestamptz := clock_timestamp();
    v_holds     uuid[];
    v_seats     bigint[];
    v_schedules jsonb;
    v_over      uuid[];
BEGIN
    SELECT array_agg(id) INTO v_holds FROM (
        SELECT id FROM seat_holds WHERE status = 'ACTIVE' AND expires_at <= v_now ORDER BY expires_at LIMIT p_limit
    ) oldest;
    IF v_holds IS NULL THEN
        RETURN '{"expired": 0, "schedules": []}';
    END IF;
    SELECT array_agg(seat_id) INTO v_seats
        FROM seat_holds h CROSS JOIN unnest(h.seat_ids) AS seat_id WHERE h.id = ANY (v_holds);
    WITH locked AS (
        SELECT id FROM concert_seats
        WHERE id = ANY (v_seats) AND hold_id = ANY (v_holds)
          AND status = 'TEMPORARILY_RESERVED' AND held_until <= v_now
        ORDER BY id FOR UPDATE SKIP LOCKED
    ), freed AS (
        UPDATE concert_seats s SET status = 'AVAILABLE', hold_id = NULL, held_until = NULL, version = s.version + 1
        FROM locked WHERE s.id = locked.id RETURNING s.schedule_id
    )
    SELECT coalesce(jsonb_agg(DISTINCT schedule_id), '[]') INTO v_schedules FROM freed;

    SELECT array_agg(h.id) INTO v_over FROM seat_holds h
    WHERE h.id = ANY (v_holds) AND h.status = 'ACTIVE' AND NOT EXISTS (
        SELECT 1 FROM concert_seats s
        WHERE s.id = ANY (h.seat_ids) AND s.hold_id = h.id AND s.status = 'TEMPORARILY_RESERVED');
    IF v_over IS NOT NULL THEN
        PERFORM holds_expire(v_over);
    END IF;
    RETURN jsonb_build_object('expired', coalesce(cardinality(v_over), 0), 'schedules', v_schedules);
END $$;
