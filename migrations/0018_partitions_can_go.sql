-- So that a month of reservations can be detached: foreign keys that point at a partitioned table forbid it as long as
-- a row does. What they guarded is guarded where it could break: when a row is written, and when a reservation
-- would be deleted or moved. What was detached keeps its rows, and the payments and seats of then theirs.

ALTER TABLE payments DROP CONSTRAINT payments_reservation_fkey;
ALTER TABLE reservation_seats DROP CONSTRAINT reservation_seats_reservation_fkey;

-- The reservation is written before its seats and its payment, so one look at the moment of writing is enough.
CREATE FUNCTION reservation_exists() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM reservations WHERE id = NEW.reservation_id AND schedule_date = NEW.schedule_date) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'there is no reservation % on %', NEW.reservation_id, NEW.schedule_date
        USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_TABLE_NAME || '_reservation_exists';
END $$;
CREATE TRIGGER payments_reservation_exists BEFORE INSERT OR UPDATE OF reservation_id, schedule_date ON payments
    FOR EACH ROW EXECUTE FUNCTION reservation_exists();
CREATE TRIGGER reservation_seats_reservation_exists
    BEFORE INSERT OR UPDATE OF reservation_id, schedule_date ON reservation_seats
    FOR EACH ROW EXECUTE FUNCTION reservation_exists();

-- A reservation stays what it was, cancelled or not.
CREATE FUNCTION reservations_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'reservation % can be neither deleted nor moved', OLD.id
        USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'reservations_stay';
END $$;
CREATE TRIGGER reservations_stay BEFORE DELETE OR UPDATE OF id, schedule_date ON reservations
    FOR EACH ROW EXECUTE FUNCTION reservations_refuse();

-- Detaches the oldest month of reservations whose evenings were all before p_before. The table stays, with its name and
-- its rows, for whoever archives it. Returns its name, or null when there is none. One at a time: each takes a lock
-- on reservations for a moment.
CREATE FUNCTION detach_reservation_partition(p_before date) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_name text;
BEGIN
    SELECT c.relname INTO v_name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'reservations'::regclass AND c.relname ~ '^reservations_[0-9]{4}_[0-9]{2}$'
      AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= p_before
    ORDER BY c.relname LIMIT 1;
    IF v_name IS NOT NULL THEN
        EXECUTE format('ALTER TABLE reservations DETACH PARTITION %I', v_name);
    END IF;
    RETURN v_name;
END $$;
