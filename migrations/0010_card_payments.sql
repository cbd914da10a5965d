-- The steps of a payment by the gateway, one transaction each: begin, (the gateway authorises), commit or decline,
-- (the gateway captures, voids or refunds), settle. See 0009_gateway.sql for the states.

-- Writes down that a hold is about to be paid by the gateway. p_recover_after_s: how long the recovery worker leaves
-- the attempt alone. Returns {"outcome": "authorise", "payment": …}: ask the gateway, under that payment's id; of a
-- second request for the same hold and source, or after a crash, the attempt that stands is continued.
-- | paid (when it was) | hold-unknown | hold-expired | purchase-limit | payment-in-progress (another source's attempt
-- stands), or what idempotency_begin says. Locks: hold → attempt.
CREATE FUNCTION begin_card_payment(
    p_user bigint, p_hold uuid, p_reservation uuid, p_payment uuid, p_source_hash bytea, p_token jsonb,
    p_max_purchases integer, p_recover_after_s integer, p_key text, p_hash bytea
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_answer  jsonb := idempotency_claim(p_user, p_key, p_hash);
    v_hold    seat_holds;
    v_attempt gateway_payments;
    v_now     timestamptz;
BEGIN
    IF v_answer IS NOT NULL THEN
        RETURN v_answer;
    END IF;
    SELECT * INTO v_hold FROM seat_holds WHERE id = p_hold AND user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN idempotency_finish(p_user, p_key, p_hash, '{"outcome": "hold-unknown"}');
    ELSIF v_hold.status = 'PAID' THEN
        RETURN idempotency_finish(p_user, p_key, p_hash, jsonb_build_object('outcome', 'paid', 'reservation',
            (SELECT reservation_of(p_user, r.id) FROM reservations r WHERE r.hold_id = p_hold)));
    END IF;
    SELECT * INTO v_attempt FROM gateway_payments WHERE hold_id = p_hold AND state = 'STARTED' FOR UPDATE;
    v_now := clock_timestamp();
    IF FOUND THEN
        IF v_attempt.source_hash <> p_source_hash THEN
            RETURN '{"outcome": "payment-in-progress"}';
        END IF;
        -- Whether the hold still stands is for the commit to say, which also sees to the void.
        UPDATE gateway_payments SET changed_at = v_now, next_try_at = v_now + make_interval(secs => p_recover_after_s)
            WHERE id = v_attempt.id RETURNING * INTO v_attempt;
    ELSIF v_hold.status <> 'ACTIVE' OR v_hold.expires_at <= v_now THEN
        RETURN idempotency_finish(p_user, p_key, p_hash, '{"outcome": "hold-expired"}');
    ELSIF p_max_purchases > 0 AND EXISTS (SELECT 1 FROM queue_tokens
            WHERE audience = p_token ->> 'audience' AND generation = (p_token ->> 'generation')::bigint
              AND subject = p_token ->> 'subject'
              AND session_at = to_timestamp((p_token ->> 'session_at_s')::double precision)
              AND purchases >= p_max_purchases) THEN
        RETURN idempotency_finish(p_user, p_key, p_hash,
            jsonb_build_object('outcome', 'purchase-limit', 'limit', p_max_purchases));
    ELSE
        INSERT INTO gateway_payments (id, reservation_id, hold_id, user_id, amount, currency, source_hash, created_at,
                changed_at, next_try_at)
            VALUES (p_payment, p_reservation, p_hold, p_user, v_hold.amount, v_hold.currency, p_source_hash, v_now,
                v_now, v_now + make_interval(secs => p_recover_after_s))
            RETURNING * INTO v_attempt;
    END IF;
    RETURN jsonb_build_object('outcome', 'authorise', 'payment', jsonb_build_object('payment_id', v_attempt.id,
        'reservation_id', v_attempt.reservation_id, 'amount', v_attempt.amount, 'currency', v_attempt.currency));
END $$;

-- The gateway has authorised: the hold becomes a reservation, or the attempt VOID_DUE in this same transaction.
-- Returns paid | hold-expired | purchase-limit | payment-declined, with "void": true when the gateway is to let the
-- money go; payment-undone (the recovery worker was faster) is not stored under the key.
-- Locks: seats by id → hold → attempt → token → payment.
CREATE FUNCTION commit_card_payment(
    p_user bigint, p_payment uuid, p_token jsonb, p_max_purchases integer, p_recover_after_s integer,
    p_key text, p_hash bytea
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_attempt gateway_payments;
    v_hold    seat_holds;
    v_live    bigint;
    v_limit   integer;
    v_now     timestamptz;
    v_refused jsonb;
BEGIN
    SELECT * INTO STRICT v_attempt FROM gateway_payments WHERE id = p_payment AND user_id = p_user;
    SELECT * INTO STRICT v_hold FROM seat_holds WHERE id = v_attempt.hold_id;
    v_live := hold_seats_live(v_hold);
    SELECT * INTO v_hold FROM seat_holds WHERE id = v_attempt.hold_id FOR UPDATE;
    SELECT * INTO v_attempt FROM gateway_payments WHERE id = p_payment FOR UPDATE;
    IF v_attempt.state IN ('COMMITTED', 'CAPTURED', 'REFUND_DUE', 'REFUNDED') THEN
        RETURN idempotency_finish(p_user, p_key, p_hash,
            jsonb_build_object('outcome', 'paid', 'reservation', reservation_of(p_user, v_attempt.reservation_id)));
    ELSIF v_attempt.state = 'DECLINED' THEN
        RETURN idempotency_finish(p_user, p_key, p_hash,
            jsonb_build_object('outcome', 'payment-declined', 'reason', v_attempt.reason));
    ELSIF v_attempt.state <> 'STARTED' THEN
        RETURN '{"outcome": "payment-undone"}';
    END IF;

    v_now := clock_timestamp();
    IF v_hold.status = 'PAID' THEN
        -- From the wallet, meanwhile.
        v_refused := jsonb_build_object('outcome', 'paid', 'reservation',
            (SELECT reservation_of(p_user, r.id) FROM reservations r WHERE r.hold_id = v_hold.id));
    ELSIF v_hold.status <> 'ACTIVE' OR v_live < cardinality(v_hold.seat_ids) THEN
        v_refused := '{"outcome": "hold-expired"}';
    ELSE
        v_limit := queue_session_full(p_user, p_token, p_max_purchases);
        IF v_limit IS NOT NULL THEN
            v_refused := jsonb_build_object('outcome', 'purchase-limit', 'limit', v_limit);
        END IF;
    END IF;
    IF v_refused IS NOT NULL THEN
        UPDATE gateway_payments SET state = 'VOID_DUE', reason = v_refused ->> 'outcome', changed_at = v_now,
            next_try_at = v_now + make_interval(secs => p_recover_after_s) WHERE id = p_payment;
        RETURN idempotency_finish(p_user, p_key, p_hash, v_refused) || '{"void": true}';
    END IF;

    PERFORM sell_hold(v_hold, v_attempt.reservation_id, p_payment, 'card', p_token, v_now);
    UPDATE gateway_payments SET state = 'COMMITTED', changed_at = v_now,
        next_try_at = v_now + make_interval(secs => p_recover_after_s) WHERE id = p_payment;
    RETURN idempotency_finish(p_user, p_key, p_hash,
        jsonb_build_object('outcome', 'paid', 'reservation', reservation_of(p_user, v_attempt.reservation_id)))
        || '{"capture": true}';
END $$;

-- The gateway has declined: the end of this attempt; the hold stands.
-- Returns payment-declined, or payment-undone when the attempt had ended otherwise.
CREATE FUNCTION decline_card_payment(p_user bigint, p_payment uuid, p_reason text, p_key text, p_hash bytea)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE gateway_payments SET state = 'DECLINED', reason = p_reason, changed_at = clock_timestamp()
        WHERE id = p_payment AND user_id = p_user AND state = 'STARTED';
    IF NOT FOUND AND NOT EXISTS (SELECT 1 FROM gateway_payments WHERE id = p_payment AND state = 'DECLINED') THEN
        RETURN '{"outcome": "payment-undone"}';
    END IF;
    RETURN idempotency_finish(p_user, p_key, p_hash,
        jsonb_build_object('outcome', 'payment-declined', 'reason', p_reason));
END $$;

-- What was owed to the gateway is done: COMMITTED → CAPTURED, VOID_DUE → VOIDED, REFUND_DUE → REFUNDED.
-- False when the attempt had moved on meanwhile (a cancellation after the capture began).
CREATE FUNCTION settle_card_payment(p_payment uuid, p_owed gateway_state) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE gateway_payments SET changed_at = clock_timestamp(), state = CASE p_owed
            WHEN 'COMMITTED' THEN 'CAPTURED' WHEN 'VOID_DUE' THEN 'VOIDED' WHEN 'REFUND_DUE' THEN 'REFUNDED'
        END::gateway_state
        WHERE id = p_payment AND state = p_owed;
    RETURN FOUND;
END $$;

-- For the recovery worker: attempts whose time has come, at most p_limit, each for one worker at a time. An attempt
-- that is still STARTED is given up by this: it can not be committed any more. Pauses double up to ten minutes.
CREATE FUNCTION owed_card_payments(p_limit integer, p_recover_after_s integer)
RETURNS TABLE (payment_id uuid, owed text, tries integer) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    UPDATE gateway_payments g
    SET state = CASE g.state WHEN 'STARTED' THEN 'VOID_DUE'::gateway_state ELSE g.state END,
        reason = CASE g.state WHEN 'STARTED' THEN 'never committed' ELSE g.reason END,
        changed_at = clock_timestamp(), tries = g.tries + 1,
        next_try_at = clock_timestamp() + make_interval(secs => least(600, p_recover_after_s * 2 ^ least(g.tries, 12)))
    WHERE g.id IN (
        SELECT o.id FROM gateway_payments o
        WHERE o.state IN ('STARTED', 'COMMITTED', 'VOID_DUE', 'REFUND_DUE') AND o.next_try_at <= clock_timestamp()
        ORDER BY o.next_try_at LIMIT p_limit FOR UPDATE SKIP LOCKED)
    RETURNING g.id, g.state::text, g.tries;
END $$;

-- As before; the money of a payment by the gateway goes back there, which is owed from this transaction on.
-- Locks: seats by id → hold → attempt → wallet.
CREATE OR REPLACE FUNCTION cancel_reservation(p_user bigint, p_reservation uuid, p_key text, p_hash bytea) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_answer  jsonb := idempotency_begin(p_user, p_key, p_hash);
    v_booked  reservations;
    v_hold    seat_holds;
    v_payment payments;
    v_wallet  wallets;
    v_freed   integer;
    v_now     timestamptz;
BEGIN
    IF v_answer IS NOT NULL THEN
        RETURN v_answer;
    END IF;
    SELECT * INTO v_booked FROM reservations WHERE id = p_reservation AND user_id = p_user;
    IF NOT FOUND THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "reservation-unknown"}');
    END IF;

    SELECT * INTO v_hold FROM seat_holds WHERE id = v_booked.hold_id;
    PERFORM 1 FROM concert_seats WHERE id = ANY (v_hold.seat_ids) AND hold_id = v_hold.id ORDER BY id FOR UPDATE;
    -- Whoever is second waits here, and finds it done.
    SELECT * INTO v_hold FROM seat_holds WHERE id = v_booked.hold_id FOR UPDATE;
    IF v_hold.status = 'CANCELLED' THEN
        RETURN idempotency_end(p_user, p_key, p_hash,
            jsonb_build_object('outcome', 'cancelled', 'reservation', reservation_of(p_user, p_reservation)));
    END IF;
    IF EXISTS (SELECT 1 FROM concert_schedules WHERE id = v_booked.schedule_id AND starts_at <= clock_timestamp()) THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "cancellation-closed"}');
    END IF;
    SELECT * INTO STRICT v_payment FROM payments WHERE reservation_id = p_reservation;

    v_now := clock_timestamp();
    INSERT INTO refunds (payment_id, reservation_id, user_id, amount, currency, created_at)
        VALUES (v_payment.id, p_reservation, p_user, v_payment.amount, v_payment.currency, v_now);
    IF v_payment.method = 'wallet' THEN
        UPDATE wallets SET balance = balance + v_payment.amount
            WHERE user_id = p_user AND currency = v_payment.currency RETURNING * INTO STRICT v_wallet;
        INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after, payment_id, created_at)
            VALUES (v_wallet.id, 'refund', v_payment.amount, v_wallet.balance, v_payment.id, v_now);
    ELSE
        UPDATE gateway_payments SET state = 'REFUND_DUE', changed_at = v_now, tries = 0,
            next_try_at = v_now + interval '30 seconds' WHERE id = v_payment.id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'payment % is not known to the gateway', v_payment.id USING ERRCODE = 'data_corrupted';
        END IF;
    END IF;
    DELETE FROM reservation_seats WHERE reservation_id = p_reservation;
    UPDATE concert_seats SET status = 'AVAILABLE', hold_id = NULL, held_until = NULL, version = version + 1
        WHERE id = ANY (v_hold.seat_ids) AND hold_id = v_hold.id AND status = 'RESERVED';
    GET DIAGNOSTICS v_freed = ROW_COUNT;
    IF v_freed <> cardinality(v_hold.seat_ids) THEN
        RAISE EXCEPTION 'reservation % has % seats, % were reserved for it', p_reservation,
            cardinality(v_hold.seat_ids), v_freed USING ERRCODE = 'data_corrupted';
    END IF;
    UPDATE seat_holds SET status = 'CANCELLED' WHERE id = v_hold.id;
    INSERT INTO outbox (topic, schedule_id, payload) VALUES
        ('reservation.cancelled', v_booked.schedule_id, jsonb_build_object('reservation_id', p_reservation,
            'hold_id', v_hold.id, 'user_id', p_user, 'lines', v_booked.lines)),
        ('payment.refunded', v_booked.schedule_id, jsonb_build_object('payment_id', v_payment.id,
            'reservation_id', p_reservation, 'user_id', p_user, 'amount', v_payment.amount,
            'currency', v_payment.currency));
    RETURN idempotency_end(p_user, p_key, p_hash,
        jsonb_build_object('outcome', 'cancelled', 'reservation', reservation_of(p_user, p_reservation)));
END $$;
