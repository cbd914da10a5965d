-- Demo data. Run inside one transaction; running it again adds only what is missing.
-- Prices and balances are in won, which has no smaller unit.

INSERT INTO users (id) SELECT generate_series(1, 1000) ON CONFLICT DO NOTHING;

-- Each new wallet starts with one charge, so that its ledger adds up from the first line.
WITH made AS (
    INSERT INTO wallets (id, user_id, balance) SELECT id, id, 1000000 FROM generate_series(1, 1000) AS u (id)
    ON CONFLICT DO NOTHING RETURNING id, balance
)
INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after)
SELECT id, 'charge', balance, balance FROM made ORDER BY id;

INSERT INTO concerts (id, title, artist, venue) VALUES
    (1, 'Winter Light', 'The Han River Band', 'Seoul Arena'),
    (2, 'Midnight Strings', 'Orchestra of the East Sea', 'Busan Harbour Hall')
ON CONFLICT DO NOTHING;

-- Three evenings each, from 30 days on, at 19:00 in Seoul.
INSERT INTO concert_schedules (id, concert_id, starts_at)
SELECT (c.id - 1) * 3 + n, c.id,
       (date_trunc('day', now() AT TIME ZONE 'UTC') + make_interval(days => 30 + (c.id::integer - 1) * 7 + n, hours => 10))
           AT TIME ZONE 'UTC'
FROM (VALUES (1::bigint), (2)) AS c (id) CROSS JOIN generate_series(1, 3) AS n
ON CONFLICT DO NOTHING;

-- 25 rows from A at the stage to Y at the back, 40 seats each.
INSERT INTO concert_seats (schedule_id, seat, section, price)
SELECT s.id, chr(64 + r) || '-' || n,
       CASE WHEN r <= 4 THEN 'VIP' WHEN r <= 12 THEN 'R' WHEN r <= 20 THEN 'S' ELSE 'A' END,
       CASE WHEN r <= 4 THEN 165000 WHEN r <= 12 THEN 143000 WHEN r <= 20 THEN 121000 ELSE 99000 END
FROM generate_series(1, 6) AS s (id) CROSS JOIN generate_series(1, 25) AS r CROSS JOIN generate_series(1, 40) AS n
ORDER BY s.id, r, n
ON CONFLICT DO NOTHING;

-- Rows were given ids by hand; whoever comes next must not get the same.
SELECT setval(pg_get_serial_sequence('users', 'id'), (SELECT max(id) FROM users));
SELECT setval(pg_get_serial_sequence('wallets', 'id'), (SELECT max(id) FROM wallets));
SELECT setval(pg_get_serial_sequence('concerts', 'id'), (SELECT max(id) FROM concerts));
SELECT setval(pg_get_serial_sequence('concert_schedules', 'id'), (SELECT max(id) FROM concert_schedules));
