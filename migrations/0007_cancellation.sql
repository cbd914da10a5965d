-- Cancelling a reservation: the seats and the money go back, what happened stays readable.
-- payments keeps what succeeded, also when it was given back later: the refund is a fact of its own, in refunds.
-- Whoever wants what stands leaves out payments with a row there.

-- A paid hold whose reservation was cancelled: its seats no longer count for the limit of seats a user.
ALTER TYPE hold_status ADD VALUE 'CANCELLED';

CREATE TABLE refunds (
    payment_id     uuid NOT NULL,
    reservation_id uuid NOT NULL,
    user_id        bigint NOT NULL,
    amount         bigint NOT NULL,
    currency       char(3) NOT NULL,
    created_at     timestamptz NOT NULL,
    CONSTRAINT refunds_one_per_payment PRIMARY KEY (payment_id),
    CONSTRAINT refunds_one_per_reservation UNIQUE (reservation_id),
    CONSTRAINT refunds_payment_fkey FOREIGN KEY (payment_id) REFERENCES payments (id),
    CONSTRAINT refunds_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT refunds_amount_not_negative CHECK (amount >= 0)
);

-- Wider than before, so nothing that is there can break it: no scan of the ledger.
ALTER TABLE wallet_transactions DROP CONSTRAINT wallet_transactions_kind_known;
ALTER TABLE wallet_transactions ADD CONSTRAINT wallet_transactions_kind_known CHECK (
    (kind = 'charge' AND amount > 0 AND payment_id IS NULL)
    OR (kind = 'payment' AND amount <= 0 AND payment_id IS NOT NULL)
    OR (kind = 'refund' AND amount >= 0 AND payment_id IS NOT NULL)) NOT VALID;

-- As before, and from RESERVED back to AVAILABLE once no live reservation has the seat.
CREATE OR REPLACE FUNCTION concert_seats_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version < OLD.version OR (NEW.version = OLD.version AND
        (NEW.status, NEW.hold_id, NEW.price, NEW.section) IS DISTINCT FROM
        (OLD.status, OLD.hold_id, OLD.price, OLD.section)) THEN
        RAISE EXCEPTION 'the version of seat % must rise (% to %)', OLD.id, OLD.version, NEW.version
            USING ERRCODE = 'check_violation', CONSTRAINT = 'concert_seats_version_rises';
    END IF;
    IF (NEW.id, NEW.schedule_id, NEW.seat) IS DISTINCT FROM (OLD.id, OLD.schedule_id, OLD.seat) THEN
        RAISE EXCEPTION 'seat % can not become another seat', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'concert_seats_identity_fixed';
    END IF;
    IF (CASE OLD.status
        WHEN 'AVAILABLE' THEN NEW.status IN ('AVAILABLE', 'TEMPORARILY_RESERVED')
        WHEN 'TEMPORARILY_RESERVED' THEN
            NEW.status = 'AVAILABLE'
            OR NEW.hold_id = OLD.hold_id
            OR (NEW.status = 'TEMPORARILY_RESERVED' AND OLD.held_until <= clock_timestamp())
        WHEN 'RESERVED' THEN
            (NEW.status = 'RESERVED' AND NEW.hold_id = OLD.hold_id)
            OR (NEW.status = 'AVAILABLE' AND NOT EXISTS (
                SELECT 1 FROM reservation_seats WHERE schedule_id = OLD.schedule_id AND seat_id = OLD.id))
    END) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'seat % can not go from % to %', OLD.id, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'concert_seats_legal_transition';
END $$;

-- As before, with when it was cancelled (null: it stands).
CREATE OR REPLACE FUNCTION reservation_of(p_user bigint, p_reservation uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT jsonb_build_object(
        'reservation_id', r.id, 'hold_id', r.hold_id, 'schedule_id', r.schedule_id, 'lines', r.lines,
        'amount', r.amount, 'currency', r.currency, 'created_at', r.created_at,
        'payment_id', p.id, 'method', p.method, 'cancelled_at', f.created_at)
    FROM reservations r JOIN payments p ON p.reservation_id = r.id LEFT JOIN refunds f ON f.payment_id = p.id
    WHERE r.id = p_reservation AND r.user_id = p_user);
END $$;

-- Cancels a reservation of p_user before its evening begins: frees the seats, puts the money back into the wallet.
-- Returns {"outcome": "cancelled", "reservation": …} (again the same when it was cancelled before)
-- | reservation-unknown | cancellation-closed, or what idempotency_begin says.
-- Nothing is changed before the last check has passed. Locks: seats by id → hold → wallet.
CREATE FUNCTION cancel_reservation(p_user bigint, p_reservation uuid, p_key text, p_hash bytea) RETURNS jsonb
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
    UPDATE wallets SET balance = balance + v_payment.amount
        WHERE user_id = p_user AND currency = v_payment.currency RETURNING * INTO STRICT v_wallet;
    INSERT INTO refunds (payment_id, reservation_id, user_id, amount, currency, created_at)
        VALUES (v_payment.id, p_reservation, p_user, v_payment.amount, v_payment.currency, v_now);
    INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after, payment_id, created_at)
        VALUES (v_wallet.id, 'refund', v_payment.amount, v_wallet.balance, v_payment.id, v_now);
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
