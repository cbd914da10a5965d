-- Paying for a hold and charging a wallet, one call each.

-- The reservation made of a hold, or null.
CREATE FUNCTION reservation_of(p_user bigint, p_reservation uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT jsonb_build_object(
        'reservation_id', r.id, 'hold_id', r.hold_id, 'schedule_id', r.schedule_id, 'lines', r.lines,
        'amount', r.amount, 'currency', r.currency, 'created_at', r.created_at,
        'payment_id', p.id, 'method', p.method)
    FROM reservations r JOIN payments p ON p.reservation_id = r.id
    WHERE r.id = p_reservation AND r.user_id = p_user);
END $$;

-- Turns a live hold of p_user into a reservation paid from the wallet. p_token: null, or
-- {"audience", "generation", "subject", "session_at_s", "jti"}; p_max_purchases per token, 0 for no limit.
-- Returns {"outcome": "paid", "reservation": …} (again the same for a hold that was paid before)
-- | hold-unknown | hold-expired | insufficient-balance | purchase-limit, or what idempotency_begin says.
-- Nothing is changed before the last check has passed. Locks: seats by id → hold → token → wallet → payment.
CREATE FUNCTION pay_hold(
    p_user bigint, p_hold uuid, p_reservation uuid, p_payment uuid, p_token jsonb, p_max_purchases integer,
    p_key text, p_hash bytea
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_answer  jsonb := idempotency_begin(p_user, p_key, p_hash);
    v_hold    seat_holds;
    v_live    integer;
    v_session timestamptz;
    v_bought  integer;
    v_wallet  wallets;
    v_now     timestamptz;
    v_day     date;
BEGIN
    IF v_answer IS NOT NULL THEN
        RETURN v_answer;
    END IF;
    SELECT * INTO v_hold FROM seat_holds WHERE id = p_hold AND user_id = p_user;
    IF NOT FOUND THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "hold-unknown"}');
    END IF;

    -- The versions are the fencing tokens: a seat that changed hands since is not this hold's.
    SELECT count(*) INTO v_live FROM (
        SELECT 1 FROM concert_seats s JOIN unnest(v_hold.seat_ids, v_hold.versions) AS l (id, version) ON s.id = l.id
        WHERE s.version = l.version AND s.hold_id = p_hold AND s.status = 'TEMPORARILY_RESERVED'
          AND s.held_until > clock_timestamp()
        ORDER BY s.id FOR UPDATE OF s
    ) locked;
    SELECT * INTO v_hold FROM seat_holds WHERE id = p_hold FOR UPDATE;
    IF v_hold.status = 'PAID' THEN
        RETURN idempotency_end(p_user, p_key, p_hash, jsonb_build_object('outcome', 'paid', 'reservation',
            (SELECT reservation_of(p_user, r.id) FROM reservations r WHERE r.hold_id = p_hold)));
    ELSIF v_hold.status <> 'ACTIVE' OR v_live < cardinality(v_hold.seat_ids) THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "hold-expired"}');
    END IF;

    IF p_token IS NOT NULL THEN
        v_session := to_timestamp((p_token ->> 'session_at_s')::double precision);
        INSERT INTO queue_tokens (audience, generation, subject, session_at, last_jti, last_user_id, last_used_at)
        VALUES (p_token ->> 'audience', (p_token ->> 'generation')::bigint, p_token ->> 'subject', v_session,
                p_token ->> 'jti', p_user, clock_timestamp())
        ON CONFLICT ON CONSTRAINT queue_tokens_pkey DO UPDATE
            SET last_jti = excluded.last_jti, last_user_id = excluded.last_user_id, last_used_at = excluded.last_used_at
        RETURNING purchases INTO v_bought;
        IF p_max_purchases > 0 AND v_bought >= p_max_purchases THEN
            RETURN idempotency_end(p_user, p_key, p_hash,
                jsonb_build_object('outcome', 'purchase-limit', 'limit', p_max_purchases));
        END IF;
    END IF;

    UPDATE wallets SET balance = balance - v_hold.amount
        WHERE user_id = p_user AND balance >= v_hold.amount AND currency = v_hold.currency
        RETURNING * INTO v_wallet;
    IF NOT FOUND THEN
        SELECT * INTO v_wallet FROM wallets WHERE user_id = p_user;
        RETURN idempotency_end(p_user, p_key, p_hash, jsonb_build_object('outcome', 'insufficient-balance',
            'amount', v_hold.amount, 'balance', coalesce(v_wallet.balance, 0)));
    END IF;

    v_now := clock_timestamp();
    UPDATE concert_seats SET status = 'RESERVED', held_until = NULL, version = version + 1
        WHERE id = ANY (v_hold.seat_ids);
    UPDATE seat_holds SET status = 'PAID', ended_at = v_now WHERE id = p_hold;
    IF p_token IS NOT NULL THEN
        UPDATE queue_tokens SET purchases = purchases + 1
            WHERE audience = p_token ->> 'audience' AND generation = (p_token ->> 'generation')::bigint
              AND subject = p_token ->> 'subject' AND session_at = v_session;
    END IF;

    SELECT (starts_at AT TIME ZONE 'UTC')::date INTO v_day FROM concert_schedules WHERE id = v_hold.schedule_id;
    INSERT INTO reservations (id, schedule_date, schedule_id, user_id, hold_id, lines, amount, currency, created_at)
        VALUES (p_reservation, v_day, v_hold.schedule_id, p_user, p_hold, v_hold.lines, v_hold.amount,
                v_hold.currency, v_now);
    INSERT INTO reservation_seats (schedule_id, seat_id, reservation_id, schedule_date, price)
        SELECT s.schedule_id, s.id, p_reservation, v_day, s.price FROM concert_seats s WHERE s.id = ANY (v_hold.seat_ids);
    INSERT INTO payments (id, reservation_id, schedule_date, user_id, method, amount, currency, created_at)
        VALUES (p_payment, p_reservation, v_day, p_user, 'wallet', v_hold.amount, v_hold.currency, v_now);
    INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after, payment_id, created_at)
        VALUES (v_wallet.id, 'payment', -v_hold.amount, v_wallet.balance, p_payment, v_now);
    INSERT INTO outbox (topic, schedule_id, payload) VALUES
        ('reservation.created', v_hold.schedule_id, jsonb_build_object('reservation_id', p_reservation,
            'hold_id', p_hold, 'user_id', p_user, 'lines', v_hold.lines)),
        ('payment.completed', v_hold.schedule_id, jsonb_build_object('payment_id', p_payment,
            'reservation_id', p_reservation, 'user_id', p_user, 'amount', v_hold.amount, 'currency', v_hold.currency));
    RETURN idempotency_end(p_user, p_key, p_hash,
        jsonb_build_object('outcome', 'paid', 'reservation', reservation_of(p_user, p_reservation)));
END $$;

-- Adds p_amount (> 0) to the wallet. Returns {"outcome": "charged", "transaction", "currency"}
-- | wallet-unknown, or what idempotency_begin says.
CREATE FUNCTION charge_wallet(p_user bigint, p_amount bigint, p_key text, p_hash bytea) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_answer jsonb := idempotency_begin(p_user, p_key, p_hash);
    v_wallet wallets;
    v_line   wallet_transactions;
BEGIN
    IF v_answer IS NOT NULL THEN
        RETURN v_answer;
    END IF;
    UPDATE wallets SET balance = balance + p_amount WHERE user_id = p_user RETURNING * INTO v_wallet;
    IF NOT FOUND THEN
        RETURN '{"outcome": "wallet-unknown"}';
    END IF;
    INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after)
        VALUES (v_wallet.id, 'charge', p_amount, v_wallet.balance) RETURNING * INTO v_line;
    RETURN idempotency_end(p_user, p_key, p_hash, jsonb_build_object('outcome', 'charged', 'currency', v_wallet.currency,
        'transaction', jsonb_build_object('id', v_line.id, 'kind', v_line.kind, 'amount', v_line.amount,
            'balance_after', v_line.balance_after, 'reservation_id', NULL, 'created_at', v_line.created_at)));
END $$;
