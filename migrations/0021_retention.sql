-- So that what is over can be removed: holds that came to nothing, and queue sessions that nobody can come back with.
-- Indexes only (built at once: writers wait for as long as it takes to read the tables).

CREATE INDEX seat_holds_over ON seat_holds (ended_at) WHERE status IN ('RELEASED', 'EXPIRED');
CREATE INDEX queue_tokens_by_use ON queue_tokens (last_used_at);
-- A hold that somebody tried to pay for by card stays as long as the attempt, which the gateway knows too.
CREATE INDEX gateway_payments_by_hold ON gateway_payments (hold_id);
