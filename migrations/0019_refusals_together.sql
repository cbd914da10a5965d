-- Refusals that the seat lock gave, many in one transaction. Adds a function; what runs before stays as it is.

-- idempotency_answer for each position of the arrays, in their order: an array of the answers. One more answer:
-- {"outcome": "user-unknown"}, so that one stranger does not undo what is stored for the others. The same key twice:
-- the first counts. Never waits for another transaction: a key at work is answered key-in-progress.
CREATE FUNCTION idempotency_answers(p_users bigint[], p_keys text[], p_hashes bytea[], p_answers jsonb[])
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_asked   record;
    v_answers jsonb[] := '{}';
BEGIN
    FOR v_asked IN
        SELECT * FROM unnest(p_users, p_keys, p_hashes, p_answers) AS asked (user_id, key, hash, answer)
    LOOP
        IF EXISTS (SELECT 1 FROM users WHERE id = v_asked.user_id) THEN
            v_answers := array_append(v_answers,
                idempotency_answer(v_asked.user_id, v_asked.key, v_asked.hash, v_asked.answer));
        ELSE
            v_answers := array_append(v_answers, '{"outcome": "user-unknown"}'::jsonb);
        END IF;
    END LOOP;
    RETURN to_jsonb(v_answers);
END $$;
