-- One key, one effect: begun and ended inside the transaction of the effect. A null key means none.

-- Null: go on. Otherwise the answer to give: the stored one, key-reused (another request) or
-- key-in-progress (the same key is at work in another transaction at this moment; never waits).
CREATE FUNCTION idempotency_begin(p_user bigint, p_key text, p_hash bytea) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_row idempotency_keys;
BEGIN
    IF p_key IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('idempotency:' || p_user || ':' || p_key, 0)) THEN
        RETURN '{"outcome": "key-in-progress"}';
    END IF;
    SELECT * INTO v_row FROM idempotency_keys WHERE user_id = p_user AND key = p_key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_row.expires_at <= clock_timestamp() THEN
        DELETE FROM idempotency_keys WHERE user_id = p_user AND key = p_key;
        RETURN NULL;
    END IF;
    IF v_row.request_hash <> p_hash THEN
        RETURN '{"outcome": "key-reused"}';
    END IF;
    RETURN coalesce(v_row.response, '{"outcome": "key-in-progress"}');
END $$;

-- Stores the answer under the key and returns it.
CREATE FUNCTION idempotency_end(p_user bigint, p_key text, p_hash bytea, p_answer jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    IF p_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (user_id, key, request_hash, state, response, created_at, expires_at)
        VALUES (p_user, p_key, p_hash, 'DONE', p_answer, clock_timestamp(), clock_timestamp() + interval '24 hours');
    END IF;
    RETURN p_answer;
END $$;

-- For an answer that was found without the database (the seat lock said no): the answer already stored
-- under the key, or this one, stored now.
CREATE FUNCTION idempotency_answer(p_user bigint, p_key text, p_hash bytea, p_answer jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    RETURN coalesce(idempotency_begin(p_user, p_key, p_hash), idempotency_end(p_user, p_key, p_hash, p_answer));
END $$;
