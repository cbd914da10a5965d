-- Rules that hold whoever writes: the life of a seat, the ledger, the partitions.

-- A seat: AVAILABLE → TEMPORARILY_RESERVED → RESERVED, back to AVAILABLE from a hold, and from a hold
-- that ran out to another hold. The version rises with every change that a buyer can see, and never falls.
CREATE FUNCTION concert_seats_guard() RETURNS trigger LANGUAGE plpgsql AS $$
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
        WHEN 'RESERVED' THEN NEW.status = 'RESERVED' AND NEW.hold_id = OLD.hold_id
    END) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'seat % can not go from % to %', OLD.id, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'concert_seats_legal_transition';
END $$;
CREATE TRIGGER concert_seats_guard BEFORE UPDATE ON concert_seats
    FOR EACH ROW EXECUTE FUNCTION concert_seats_guard();

-- The ledger is never rewritten.
CREATE FUNCTION wallet_transactions_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'wallet_transactions is append-only'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_transactions_append_only';
END $$;
CREATE TRIGGER wallet_transactions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON wallet_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION wallet_transactions_refuse();

-- Every ledger row continues the one before it …
CREATE FUNCTION wallet_transactions_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_before bigint;
BEGIN
    SELECT balance_after INTO v_before FROM wallet_transactions
        WHERE wallet_id = NEW.wallet_id ORDER BY id DESC LIMIT 1;
    IF coalesce(v_before, 0) + NEW.amount IS DISTINCT FROM NEW.balance_after THEN
        RAISE EXCEPTION 'ledger of wallet %: % after % by % does not add up',
            NEW.wallet_id, NEW.balance_after, coalesce(v_before, 0), NEW.amount
            USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_transactions_add_up';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER wallet_transactions_chain BEFORE INSERT ON wallet_transactions
    FOR EACH ROW EXECUTE FUNCTION wallet_transactions_chain();

-- … and at the commit the last one says what the wallet says. Both together: balance = sum of the ledger.
CREATE FUNCTION wallets_match_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_balance bigint;
    v_ledger  bigint;
BEGIN
    SELECT balance INTO v_balance FROM wallets WHERE id = NEW.id;
    SELECT balance_after INTO v_ledger FROM wallet_transactions
        WHERE wallet_id = NEW.id ORDER BY id DESC LIMIT 1;
    IF FOUND AND v_ledger IS DISTINCT FROM v_balance OR NOT FOUND AND v_balance <> 0 THEN
        RAISE EXCEPTION 'wallet % has % but its ledger says %', NEW.id, v_balance, coalesce(v_ledger, 0)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'wallets_match_ledger';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER wallets_match_ledger AFTER INSERT OR UPDATE ON wallets
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wallets_match_ledger();

-- Makes the monthly partitions of reservations from the month of p_from on. Months that exist, or whose
-- days already landed in the default partition, are left as they are. Returns how many were made.
CREATE FUNCTION create_reservation_partitions(p_from date, p_months integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_month date;
    v_name  text;
    v_made  integer := 0;
BEGIN
    FOR i IN 0 .. p_months - 1 LOOP
        v_month := (date_trunc('month', p_from) + make_interval(months => i))::date;
        v_name := 'reservations_' || to_char(v_month, 'YYYY_MM');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT 1 FROM reservations_default
            WHERE schedule_date >= v_month AND schedule_date < v_month + interval '1 month');
        EXECUTE format('CREATE TABLE %I PARTITION OF reservations FOR VALUES FROM (%L) TO (%L)',
            v_name, v_month, (v_month + interval '1 month')::date);
        v_made := v_made + 1;
    END LOOP;
    RETURN v_made;
END $$;
