-- What a sale writes: ten holds, of which three are given back, three run out and four are paid for. Over six
-- schedules, one of which has half of all. {events} is how many events there are.
INSERT INTO outbox (topic, schedule_id, payload)
SELECT (ARRAY['hold.created', 'hold.created', 'hold.created', 'hold.created', 'hold.created', 'hold.released',
              'reservation.expired', 'reservation.created', 'payment.completed'])[n % 9 + 1],
       CASE WHEN n % 2 = 0 THEN 1 ELSE n / 2 % 6 + 1 END,
       jsonb_build_object('hold_id', gen_random_uuid(), 'user_id', n % 1000 + 1, 'amount', 150000,
           'currency', 'KRW', 'expires_at', now(), 'lines', jsonb_build_array(
               jsonb_build_object('seat', 'A-' || n % 40 + 1, 'section', 'A', 'price', 75000, 'version', n),
               jsonb_build_object('seat', 'B-' || n % 40 + 1, 'section', 'B', 'price', 75000, 'version', n)))
FROM generate_series(1, {events}) AS n
