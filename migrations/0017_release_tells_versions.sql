-- As before, and with "versions": what each of "seats" has since, so that a seat map can be told what to believe.
CREATE OR REPLACE FUNCTION release_hold(p_user bigint, p_hold uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_hold     seat_holds;
    v_seats    jsonb;
    v_versions jsonb;
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
        RETURNING s.id, s.seat, s.version
    )
    SELECT jsonb_agg(seat ORDER BY id), jsonb_agg(version ORDER BY id) INTO v_seats, v_versions FROM freed;
    IF v_hold.status = 'ACTIVE' THEN
        UPDATE seat_holds SET status = 'RELEASED', ended_at = clock_timestamp() WHERE id = p_hold;
        INSERT INTO outbox (topic, schedule_id, payload) VALUES ('hold.released', v_hold.schedule_id,
            jsonb_build_object('hold_id', p_hold, 'user_id', p_user, 'lines', v_hold.lines));
    END IF;
    RETURN jsonb_build_object('outcome', 'released', 'schedule_id', v_hold.schedule_id,
        'seats', coalesce(v_seats, '[]'::jsonb), 'versions', coalesce(v_versions, '[]'::jsonb));
END $$;
