-- Paying by an external gateway. No transaction is open while the gateway is asked: what is to be done there is
-- written down first, so that whatever crashes in between can be found and put right (see docs/GATEWAY.md).

ALTER TABLE payments DROP CONSTRAINT payments_method_known;
ALTER TABLE payments ADD CONSTRAINT payments_method_known CHECK (method IN ('wallet', 'card')) NOT VALID;

-- STARTED: the gateway may have been asked to authorise. COMMITTED: the seats are sold, the money is to be captured.
-- VOID_DUE: nothing was sold, what was authorised is to be let go. REFUND_DUE: cancelled, the money is to go back.
-- The others are ends. Only STARTED can become COMMITTED: whoever moves a payment to VOID_DUE ends that for good.
CREATE TYPE gateway_state AS ENUM
    ('STARTED', 'COMMITTED', 'CAPTURED', 'VOID_DUE', 'VOIDED', 'DECLINED', 'REFUND_DUE', 'REFUNDED');

-- One row an attempt. Its id names it at the gateway, and is the payment's id if it succeeds.
CREATE TABLE gateway_payments (
    id             uuid PRIMARY KEY,
    reservation_id uuid NOT NULL,
    hold_id        uuid NOT NULL,
    user_id        bigint NOT NULL,
    amount         bigint NOT NULL,
    currency       char(3) NOT NULL,
    -- Not the source itself: it would be worth stealing.
    source_hash    bytea NOT NULL,
    state          gateway_state NOT NULL DEFAULT 'STARTED',
    reason         text,
    created_at     timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    -- When the recovery worker takes it up, and how often it has.
    next_try_at    timestamptz NOT NULL,
    tries          integer NOT NULL DEFAULT 0,
    CONSTRAINT gateway_payments_hold_fkey FOREIGN KEY (hold_id) REFERENCES seat_holds (id),
    CONSTRAINT gateway_payments_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT gateway_payments_amount_not_negative CHECK (amount >= 0)
);
CREATE UNIQUE INDEX gateway_payments_one_started_per_hold ON gateway_payments (hold_id) WHERE state = 'STARTED';
CREATE INDEX gateway_payments_owed ON gateway_payments (next_try_at)
    WHERE state IN ('STARTED', 'COMMITTED', 'VOID_DUE', 'REFUND_DUE');

-- An attempt: forward only.
CREATE FUNCTION gateway_payments_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = OLD.state OR (OLD.state, NEW.state) IN (
        ('STARTED', 'COMMITTED'), ('STARTED', 'VOID_DUE'), ('STARTED', 'DECLINED'),
        ('COMMITTED', 'CAPTURED'), ('COMMITTED', 'REFUND_DUE'), ('CAPTURED', 'REFUND_DUE'),
        ('VOID_DUE', 'VOIDED'), ('REFUND_DUE', 'REFUNDED')) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'payment % can not go from % to %', OLD.id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'gateway_payments_legal_transition';
END $$;
CREATE TRIGGER gateway_payments_guard BEFORE UPDATE ON gateway_payments
    FOR EACH ROW EXECUTE FUNCTION gateway_payments_guard();

-- As idempotency_begin, for an effect that outlives one transaction: the key is taken at once. Null: go on, as the
-- first or as one who continues what an earlier request under the key began.
CREATE FUNCTION idempotency_claim(p_user bigint, p_key text, p_hash bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_answer jsonb := idempotency_begin(p_user, p_key, p_hash);
BEGIN
    IF p_key IS NULL THEN
        RETURN NULL;
    END IF;
    IF v_answer IS NULL THEN
        INSERT INTO idempotency_keys (user_id, key, request_hash, state, created_at, expires_at)
        VALUES (p_user, p_key, p_hash, 'IN_PROGRESS', clock_timestamp(), clock_timestamp() + interval '24 hours')
        ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING;
    ELSIF v_answer ->> 'outcome' = 'key-in-progress' AND EXISTS (
        SELECT 1 FROM idempotency_keys
        WHERE user_id = p_user AND key = p_key AND state = 'IN_PROGRESS' AND request_hash = p_hash) THEN
        RETURN NULL;
    END IF;
    RETURN v_answer;
END $$;

-- Stores the answer under a claimed key, unless there is one: returns the one that counts.
CREATE FUNCTION idempotency_finish(p_user bigint, p_key text, p_hash bytea, p_answer jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_answer jsonb;
BEGIN
    IF p_key IS NULL THEN
        RETURN p_answer;
    END IF;
    INSERT INTO idempotency_keys AS k (user_id, key, request_hash, state, response, created_at, expires_at)
    VALUES (p_user, p_key, p_hash, 'DONE', p_answer, clock_timestamp(), clock_timestamp() + interval '24 hours')
    ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE
        SET state = 'DONE', response = coalesce(k.response, excluded.response)
        WHERE k.request_hash = p_hash
    RETURNING response INTO v_answer;
    RETURN coalesce(v_answer, '{"outcome": "key-reused"}');
END $$;

-- Whether the queue session of p_token may buy no more: then the limit, else null. Remembers that it was shown.
CREATE FUNCTION queue_session_full(p_user bigint, p_token jsonb, p_max_purchases integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_bought integer;
BEGIN
    IF p_token IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO queue_tokens (audience, generation, subject, session_at, last_jti, last_user_id, last_used_at)
    VALUES (p_token ->> 'audience', (p_token ->> 'generation')::bigint, p_token ->> 'subject',
            to_timestamp((p_token ->> 'session_at_s')::double precision), p_token ->> 'jti', p_user, clock_timestamp())
    ON CONFLICT ON CONSTRAINT queue_tokens_pkey DO UPDATE
        SET last_jti = excluded.last_jti, last_user_id = excluded.last_user_id, last_used_at = excluded.last_used_at
    RETURNING purchases INTO v_bought;
    RETURN CASE WHEN p_max_purchases > 0 AND v_bought >= p_max_purchases THEN p_max_purchases END;
END $$;

-- The seats of p_hold become a reservation that was paid for. All checks have passed, and the caller has locked
-- seats, hold and queue session.
CREATE FUNCTION sell_hold(p_hold seat_holds, p_reservation uuid, p_payment uuid, p_method text, p_token jsonb,
    p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_day date;
BEGIN
    UPDATE concert_seats SET status = 'RESERVED', held_until = NULL, version = version + 1
        WHERE id = ANY (p_hold.seat_ids);
    UPDATE seat_holds SET status = 'PAID', ended_at = p_now WHERE id = p_hold.id;
    IF p_token IS NOT NULL THEN
        UPDATE queue_tokens SET purchases = purchases + 1
            WHERE audience = p_token ->> 'audience' AND generation = (p_token ->> 'generation')::bigint
              AND subject = p_token ->> 'subject'
              AND session_at = to_timestamp((p_token ->> 'session_at_s')::double precision);
    END IF;
    SELECT (starts_at AT TIME ZONE 'UTC')::date INTO v_day FROM concert_schedules WHERE id = p_hold.schedule_id;
    INSERT INTO reservations (id, schedule_date, schedule_id, user_id, hold_id, lines, amount, currency, created_at)
        VALUES (p_reservation, v_day, p_hold.schedule_id, p_hold.user_id, p_hold.id, p_hold.lines, p_hold.amount,
                p_hold.currency, p_now);
    INSERT INTO reservation_seats (schedule_id, seat_id, reservation_id, schedule_date, price)
        SELECT s.schedule_id, s.id, p_reservation, v_day, s.price FROM concert_seats s WHERE s.id = ANY (p_hold.seat_ids);
    INSERT INTO payments (id, reservation_id, schedule_date, user_id, method, amount, currency, created_at)
        VALUES (p_payment, p_reservation, v_day, p_hold.user_id, p_method, p_hold.amount, p_hold.currency, p_now);
    INSERT INTO outbox (topic, schedule_id, payload) VALUES
        ('reservation.created', p_hold.schedule_id, jsonb_build_object('reservation_id', p_reservation,
            'hold_id', p_hold.id, 'user_id', p_hold.user_id, 'lines', p_hold.lines)),
        ('payment.completed', p_hold.schedule_id, jsonb_build_object('payment_id', p_payment,
            'reservation_id', p_reservation, 'user_id', p_hold.user_id, 'amount', p_hold.amount,
            'currency', p_hold.currency, 'method', p_method));
END $$;

-- How many seats of a hold are still its own, which locks them. The versions are the fencing tokens: a seat that
-- changed hands since is not this hold's.
CREATE FUNCTION hold_seats_live(p_hold seat_holds) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT count(*) FROM (
        SELECT 1 FROM concert_seats s JOIN unnest(p_hold.seat_ids, p_hold.versions) AS l (id, version) ON s.id = l.id
        WHERE s.version = l.version AND s.hold_id = p_hold.id AND s.status = 'TEMPORARILY_RESERVED'
          AND s.held_until > clock_timestamp()
        ORDER BY s.id FOR UPDATE OF s) locked);
END $$;

-- As before, out of the pieces above. Locks: seats by id → hold → token → wallet → payment.
CREATE OR REPLACE FUNCTION pay_hold(
    p_user bigint, p_hold uuid, p_reservation uuid, p_payment uuid, p_token jsonb, p_max_purchases integer,
    p_key text, p_hash bytea
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_answer jsonb := idempotency_begin(p_user, p_key, p_hash);
    v_hold   seat_holds;
    v_live   bigint;
    v_limit  integer;
    v_wallet wallets;
    v_now    timestamptz;
BEGIN
    IF v_answer IS NOT NULL THEN
        RETURN v_answer;
    END IF;
    SELECT * INTO v_hold FROM seat_holds WHERE id = p_hold AND user_id = p_user;
    IF NOT FOUND THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "hold-unknown"}');
    END IF;
    v_live := hold_seats_live(v_hold);
    SELECT * INTO v_hold FROM seat_holds WHERE id = p_hold FOR UPDATE;
    IF v_hold.status = 'PAID' THEN
        RETURN idempotency_end(p_user, p_key, p_hash, jsonb_build_object('outcome', 'paid', 'reservation',
            (SELECT reservation_of(p_user, r.id) FROM reservations r WHERE r.hold_id = p_hold)));
    ELSIF v_hold.status <> 'ACTIVE' OR v_live < cardinality(v_hold.seat_ids) THEN
        RETURN idempotency_end(p_user, p_key, p_hash, '{"outcome": "hold-expired"}');
    END IF;
    v_limit := queue_session_full(p_user, p_token, p_max_purchases);
    IF v_limit IS NOT NULL THEN
        RETURN idempotency_end(p_user, p_key, p_hash, jsonb_build_object('outcome', 'purchase-limit', 'limit', v_limit));
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
    PERFORM sell_hold(v_hold, p_reservation, p_payment, 'wallet', p_token, v_now);
    INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after, payment_id, created_at)
        VALUES (v_wallet.id, 'payment', -v_hold.amount, v_wallet.balance, p_payment, v_now);
    RETURN idempotency_end(p_user, p_key, p_hash,
        jsonb_build_object('outcome', 'paid', 'reservation', reservation_of(p_user, p_reservation)));
END $$;
