-- Holding and releasing seats, one call each. PL/pgSQL also where SQL would do: it keeps its plans.

CREATE FUNCTION seats_free(p_status seat_status, p_held_until timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT p_status = 'AVAILABLE' OR (p_status = 'TEMPORARILY_RESERVED' AND p_held_until <= clock_timestamp())
$$;

-- Which of these seats do not exist, and which somebody else has.
CREATE FUNCTION seats_refused(p_schedule bigint, p_seats text[], OUT unknown jsonb, OUT taken jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT jsonb_agg(w.seat ORDER BY w.place) FILTER (WHERE s.id IS NULL),
           jsonb_agg(w.seat ORDER BY w.place) FILTER (WHERE NOT seats_free(s.status, s.held_until))
    INTO unknown, taken
    FROM unnest(p_seats) WITH ORDINALITY AS w (seat, place)
    LEFT JOIN concert_seats s ON s.schedule_id = p_schedule AND s.seat = w.seat;
END $$;

-- Marks holds that ran out as such and tells of each once. Callers hold locks on seats of theirs.
CREATE FUNCTION holds_expire(p_holds uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH old AS (
        SELECT id FROM seat_holds WHERE id = ANY (p_holds) AND status = 'ACTIVE' ORDER BY id FOR UPDATE
    ), gone AS (
        UPDATE seat_holds h SET status = 'EXPIRED', ended_at = clock_timestamp()
        FROM old WHERE h.id = old.id RETURNING h.id, h.schedule_id, h.user_id, h.lines
    )
    INSERT INTO outbox (topic, schedule_id, payload)
    SELECT 'reservation.expired', schedule_id,
           jsonb_build_object('hold_id', id, 'user_id', user_id, 'lines', lines) FROM gone;
END $$;

-- Takes all of p_seats for p_user or none. p_seats: distinct, not empty. p_ttl_s: seconds from now.
-- Returns {"outcome": "held", "hold": …} | schedule-unknown | seat-unknown | seat-taken | seat-limit
-- or what idempotency_begin says. Locks: user's turn in the schedule → seats by id → old holds by id.
CREATE FUNCTION hold_seats(
    p_user bigint, p_schedule bigint, p_seats text[], p_hold uuid, p_ttl_s integer, p_max_per_user integer,
    p_key text, p_hash bytea
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_answer   jsonb := idempotency_begin(p_user, p_key, p_hash);
    v_currency char(3);
    v_refused  record;
    v_live     bigint;
    v_ids      bigint[];
    v_old      uuid[];
    v_now      timestamptz;
    v_hold     seat_holds;
BEGIN
    IF v_answer IS NOT NULL THEN
        RETURN v_answer;
    END IF;
    SELECT currency INTO v_currency FROM concert_schedules WHERE id = p_schedule;
    IF NOT FOUND THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "schedule-unknown"}');
    END IF;

    -- A look without locks first: on hot seats nearly everybody ends here, waiting for nobody.
    SELECT * INTO v_refused FROM seats_refused(p_schedule, p_seats);
    IF v_refused.unknown IS NOT NULL THEN
        RETURN idempotency_end(p_user, p_key, p_hash,
            jsonb_build_object('outcome', 'seat-unknown', 'seats', v_refused.unknown));
    ELSIF v_refused.taken IS NOT NULL THEN
        RETURN idempotency_end(p_user, p_key, p_hash,
            jsonb_build_object('outcome', 'seat-taken', 'seats', v_refused.taken));
    END IF;

    -- One hold at a time for a user in a schedule, or two could each stay under the limit.
    PERFORM pg_advisory_xact_lock(hashtextextended('hold:' || p_user || ':' || p_schedule, 0));
    SELECT coalesce(sum(cardinality(seat_ids)), 0) INTO v_live FROM seat_holds
        WHERE user_id = p_user AND schedule_id = p_schedule
          AND (status = 'PAID' OR (status = 'ACTIVE' AND expires_at > clock_timestamp()));
    IF v_live + cardinality(p_seats) > p_max_per_user THEN
        RETURN idempotency_end(p_user, p_key, p_hash,
            jsonb_build_object('outcome', 'seat-limit', 'limit', p_max_per_user, 'live', v_live));
    END IF;

    -- Sorted, so that two buyers asking in opposite order can not wait for each other.
    SELECT array_agg(l.id), array_agg(l.hold_id) FILTER (WHERE l.hold_id IS NOT NULL) INTO v_ids, v_old
    FROM (
        SELECT id, hold_id FROM concert_seats
        WHERE schedule_id = p_schedule AND seat = ANY (p_seats) AND seats_free(status, held_until)
        ORDER BY id FOR UPDATE
    ) l;
    IF cardinality(v_ids) IS DISTINCT FROM cardinality(p_seats) THEN
        SELECT * INTO v_refused FROM seats_refused(p_schedule, p_seats);
        RETURN idempotency_end(p_user, p_key, p_hash, jsonb_build_object(
            'outcome', 'seat-taken', 'seats', coalesce(v_refused.taken, to_jsonb(p_seats))));
    END IF;
    IF v_old IS NOT NULL THEN
        PERFORM holds_expire(v_old);
    END IF;

    v_now := clock_timestamp();
    WITH taken AS (
        UPDATE concert_seats
        SET status = 'TEMPORARILY_RESERVED', hold_id = p_hold, version = version + 1,
            held_until = v_now + make_interval(secs => p_ttl_s)
        WHERE id = ANY (v_ids)
        RETURNING id, seat, section, price, version
    )
    INSERT INTO seat_holds (id, user_id, schedule_id, seat_ids, versions, lines, amount, currency, created_at, expires_at)
    SELECT p_hold, p_user, p_schedule, array_agg(id ORDER BY id), array_agg(version ORDER BY id),
           jsonb_agg(jsonb_build_object('seat', seat, 'section', section, 'price', price, 'version', version) ORDER BY id),
           sum(price), v_currency, v_now, v_now + make_interval(secs => p_ttl_s)
    FROM taken
    RETURNING * INTO v_hold;

    INSERT INTO outbox (topic, schedule_id, payload) VALUES ('hold.created', p_schedule, jsonb_build_object(
        'hold_id', p_hold, 'user_id', p_user, 'lines', v_hold.lines, 'expires_at', v_hold.expires_at));
    RETURN idempotency_end(p_user, p_key, p_hash, jsonb_build_object('outcome', 'held', 'hold', jsonb_build_object(
        'hold_id', p_hold, 'schedule_id', p_schedule, 'lines', v_hold.lines, 'amount', v_hold.amount,
        'currency', v_currency, 'status', 'active', 'expires_at', v_hold.expires_at)));
END $$;

-- A hold of this user as it is now, or null. What the seats say goes before what the hold says.
CREATE FUNCTION hold_of(p_user bigint, p_hold uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT jsonb_build_object(
        'hold_id', h.id, 'schedule_id', h.schedule_id, 'lines', h.lines, 'amount', h.amount,
        'currency', h.currency, 'expires_at', h.expires_at,
        'status', CASE WHEN h.status = 'ACTIVE' AND (
                SELECT count(*) FROM concert_seats s
                WHERE s.id = ANY (h.seat_ids) AND s.hold_id = h.id AND s.held_until > clock_timestamp()
            ) < cardinality(h.seat_ids) THEN 'expired' ELSE lower(h.status::text) END)
    FROM seat_holds h WHERE h.id = p_hold AND h.user_id = p_user);
END $$;

-- Gives the seats of a hold back. Returns {"outcome": "released", "schedule_id", "seats"} (also when the
-- hold had ended before; then no seats) | hold-unknown | hold-paid. Locks: seats by id → hold.
CREATE FUNCTION release_hold(p_user bigint, p_hold uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_hold  seat_holds;
    v_seats jsonb;
BEGIN
    SELECT * INTO v_hold FROM seat_holds WHERE id = p_hold AND user_id = p_user;
    IF NOT FOUND THEN
        RETURN '{"outcome": "hold-unknown"}';
    END IF;
    PERFORM 1 FROM concert_seats WHERE id = ANY (v_hold.seat_ids) AND hold_id = p_hold ORDER BY id FOR UPDATE;
    SELECT * INTO v_hold FROM seat_holds WHERE id = p_hold FOR UPDATE;
    IF v_hold.status = 'PAID' THEN
        RETURN '{"outcome": "hold-paid"}';
    END IF;
    WITH freed AS (
        UPDATE concert_seats s SET status = 'AVAILABLE', hold_id = NULL, held_until = NULL, version = s.version + 1
        FROM unnest(v_hold.seat_ids, v_hold.versions) AS l (id, version)
        WHERE s.id = l.id AND s.version = l.version AND s.hold_id = p_hold AND s.status = 'TEMPORARILY_RESERVED'
        RETURNING s.id, s.seat
    )
    SELECT jsonb_agg(seat ORDER BY id) INTO v_seats FROM freed;
    IF v_hold.status = 'ACTIVE' THEN
        UPDATE seat_holds SET status = 'RELEASED', ended_at = clock_timestamp() WHERE id = p_hold;
        INSERT INTO outbox (topic, schedule_id, payload) VALUES ('hold.released', v_hold.schedule_id,
            jsonb_build_object('hold_id', p_hold, 'user_id', p_user, 'lines', v_hold.lines));
    END IF;
    RETURN jsonb_build_object('outcome', 'released', 'schedule_id', v_hold.schedule_id,
        'seats', coalesce(v_seats, '[]'::jsonb));
END $$;
