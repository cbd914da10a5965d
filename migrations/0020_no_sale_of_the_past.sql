-- A sale without an end of its own ends when the evening begins. Both as before otherwise; "sales_end" of the answer
-- sales-not-open is the end that counted.

CREATE OR REPLACE FUNCTION hold_seats(
    p_user bigint, p_schedule bigint, p_seats text[], p_hold uuid, p_ttl_s integer, p_max_per_user integer,
    p_key text, p_hash bytea
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_answer   jsonb := idempotency_begin(p_user, p_key, p_hash);
    v_currency char(3);
    v_start    timestamptz;
    v_end      timestamptz;
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
    SELECT currency, sales_start, coalesce(sales_end, starts_at) INTO v_currency, v_start, v_end
        FROM concert_schedules WHERE id = p_schedule;
    IF NOT FOUND THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "schedule-unknown"}');
    END IF;
    -- Not stored under the key: the same request may be right a minute later.
    IF clock_timestamp() < v_start OR clock_timestamp() >= v_end THEN
        RETURN jsonb_build_object('outcome', 'sales-not-open', 'sales_start', v_start, 'sales_end', v_end);
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

CREATE OR REPLACE FUNCTION hold_best_seats(
    p_user bigint, p_schedule bigint, p_section text, p_count integer, p_hold uuid, p_ttl_s integer,
    p_max_per_user integer, p_key text, p_hash bytea
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_answer    jsonb := idempotency_begin(p_user, p_key, p_hash);
    v_currency  char(3);
    v_start     timestamptz;
    v_end       timestamptz;
    v_live      bigint;
    v_candidate bigint[];
    v_locked    bigint[];
    v_busy      bigint[] := '{}';
    v_found     boolean := false;
    v_old       uuid[];
    v_now       timestamptz;
    v_hold      seat_holds;
BEGIN
    IF v_answer IS NOT NULL THEN
        RETURN v_answer;
    END IF;
    SELECT currency, sales_start, coalesce(sales_end, starts_at) INTO v_currency, v_start, v_end
        FROM concert_schedules WHERE id = p_schedule;
    IF NOT FOUND THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "schedule-unknown"}');
    END IF;
    -- Not stored under the key: the same request may be right a minute later.
    IF clock_timestamp() < v_start OR clock_timestamp() >= v_end THEN
        RETURN jsonb_build_object('outcome', 'sales-not-open', 'sales_start', v_start, 'sales_end', v_end);
    END IF;
    IF NOT EXISTS (SELECT 1 FROM concert_seats WHERE schedule_id = p_schedule AND section = p_section) THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "section-unknown"}');
    END IF;

    -- One hold at a time for a user in a schedule, or two could each stay under the limit.
    PERFORM pg_advisory_xact_lock(hashtextextended('hold:' || p_user || ':' || p_schedule, 0));
    SELECT coalesce(sum(cardinality(seat_ids)), 0) INTO v_live FROM seat_holds
        WHERE user_id = p_user AND schedule_id = p_schedule
          AND (status = 'PAID' OR (status = 'ACTIVE' AND expires_at > clock_timestamp()));
    IF v_live + p_count > p_max_per_user THEN
        RETURN idempotency_end(p_user, p_key, p_hash,
            jsonb_build_object('outcome', 'seat-limit', 'limit', p_max_per_user, 'live', v_live));
    END IF;

    FOR v_candidate IN
        WITH named AS (
            SELECT id, seats_free(status, held_until) AS free, regexp_replace(seat, '-[0-9]+$', '') AS row_name,
                   substring(seat FROM '-([0-9]{1,9})$')::integer AS place
            FROM concert_seats WHERE schedule_id = p_schedule AND section = p_section
        ), placed AS (
            SELECT *, min(id) OVER hall AS row_first, (min(place) OVER hall + max(place) OVER hall) / 2.0 AS middle
            FROM named WHERE place IS NOT NULL WINDOW hall AS (PARTITION BY row_name)
        ), islands AS (
            SELECT *, place - row_number() OVER (PARTITION BY row_name ORDER BY place) AS island FROM placed WHERE free
        ), runs AS (
            SELECT row_first, middle, place, array_agg(id) OVER ahead AS ids, count(*) OVER ahead AS length,
                   min(place) OVER whole AS island_first, max(place) OVER whole AS island_last
            FROM islands
            WINDOW whole AS (PARTITION BY row_name, island),
                   ahead AS (PARTITION BY row_name, island ORDER BY place
                             ROWS BETWEEN CURRENT ROW AND p_count - 1 FOLLOWING)
        )
        SELECT ids FROM runs WHERE length = p_count
        ORDER BY row_first,
                 (place - island_first = 1)::integer + (island_last - place - p_count + 1 = 1)::integer,
                 abs(place + (p_count - 1) / 2.0 - middle), place
    LOOP
        CONTINUE WHEN v_candidate && v_busy;
        SELECT array_agg(l.id), array_agg(l.hold_id) FILTER (WHERE l.hold_id IS NOT NULL) INTO v_locked, v_old
        FROM (
            SELECT id, hold_id FROM concert_seats WHERE id = ANY (v_candidate) AND seats_free(status, held_until)
            ORDER BY id FOR UPDATE SKIP LOCKED
        ) l;
        v_found := cardinality(v_locked) IS NOT DISTINCT FROM p_count;
        EXIT WHEN v_found;
        -- What did get locked stays ours until the end: other runs may want it.
        v_busy := v_busy || ARRAY(SELECT unnest(v_candidate) EXCEPT SELECT unnest(v_locked));
    END LOOP;
    IF NOT v_found AND cardinality(v_busy) > 0 THEN
        RETURN '{"outcome": "seats-busy"}';
    ELSIF NOT v_found THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "no-adjacent-seats"}');
    END IF;
    IF v_old IS NOT NULL THEN
        PERFORM holds_expire(v_old);
    END IF;

    v_now := clock_timestamp();
    WITH taken AS (
        UPDATE concert_seats
        SET status = 'TEMPORARILY_RESERVED', hold_id = p_hold, version = version + 1,
            held_until = v_now + make_interval(secs => p_ttl_s)
        WHERE id = ANY (v_candidate)
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
