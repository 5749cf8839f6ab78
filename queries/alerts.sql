-- name: AlertSet :execrows
-- Stores an alert, unless the same one is there or there are as many as may be. By the
-- unique index; counts a small table. At most one row.
INSERT INTO performance_alerts (id, metric, operator, threshold, duration_ms, webhook)
SELECT @id, @metric, @operator, @threshold, @duration_ms, @webhook
WHERE (SELECT count(*) FROM performance_alerts) < @most::bigint
ON CONFLICT (metric, operator, threshold, duration_ms, webhook) DO NOTHING;

-- name: AlertExists :one
-- Whether the same alert is there. By the unique index. One row.
SELECT EXISTS (SELECT FROM performance_alerts
    WHERE metric = @metric AND operator = @operator AND threshold = @threshold AND duration_ms = @duration_ms AND webhook = @webhook);

-- name: AlertList :many
-- All alerts, oldest first, with the deliveries that wait and those that failed; the
-- counts by the index on alert_id. At most row_limit rows.
SELECT a.id, a.metric, a.operator, a.threshold, a.duration_ms, a.webhook, a.created_at, a.state, a.since,
    (SELECT count(*) FROM performance_alert_deliveries d WHERE d.alert_id = a.id AND d.finished_at IS NULL) AS waiting,
    (SELECT count(*) FROM performance_alert_deliveries d WHERE d.alert_id = a.id AND d.outcome = 'failed') AS failed
FROM performance_alerts a ORDER BY a.created_at, a.id LIMIT @row_limit;

-- name: AlertRemove :execrows
-- Removes an alert with its deliveries. By primary key. At most one row.
DELETE FROM performance_alerts WHERE id = @id;

-- name: AlertLease :one
-- Takes or prolongs the lease of the evaluator, and gives the clock and when the round
-- before began; no row where another process holds it.
WITH held AS (
    SELECT e.only_row, e.evaluated_at FROM performance_evaluator e
    WHERE e.only_row AND (e.holder = @holder OR e.expires_at <= clock_timestamp()) FOR UPDATE SKIP LOCKED)
UPDATE performance_evaluator e SET holder = @holder, expires_at = clock_timestamp() + @lease::interval, evaluated_at = clock_timestamp()
FROM held WHERE e.only_row = held.only_row
RETURNING e.evaluated_at AS now, held.evaluated_at AS before;

-- name: AlertLeaseEnd :exec
-- Gives the lease back. At most one row.
UPDATE performance_evaluator SET expires_at = clock_timestamp() WHERE only_row AND holder = @holder;

-- name: AlertStates :many
-- What is evaluated. Reads a small table. At most row_limit rows.
SELECT id, metric, operator, threshold, duration_ms, webhook, state, since FROM performance_alerts ORDER BY id LIMIT @row_limit;

-- name: AlertChange :execrows
-- Changes an alert's state, unless it has changed or the lease is another one's. By
-- primary key. At most one row.
UPDATE performance_alerts a SET state = @state, since = @since
WHERE a.id = @id AND a.state = @state_before AND a.since = @since_before
    AND EXISTS (SELECT FROM performance_evaluator e WHERE e.only_row AND e.holder = @holder AND e.expires_at > clock_timestamp());

-- name: AlertDeliveryAdd :exec
-- Adds a state change to what is delivered. One row.
INSERT INTO performance_alert_deliveries (id, alert_id, body) VALUES (@id, @alert_id, @body);

-- name: AlertDeliverySupersede :exec
-- Gives up the oldest deliveries of an alert beyond those that may wait. By alert_id.
UPDATE performance_alert_deliveries SET finished_at = clock_timestamp(), outcome = 'failed', last_failure = 'superseded'
WHERE id IN (SELECT d.id FROM performance_alert_deliveries d WHERE d.alert_id = @alert_id AND d.finished_at IS NULL
    ORDER BY d.seq DESC OFFSET @waiting::bigint);

-- name: AlertDeliveryTake :many
-- Takes deliveries that are due, each alert's in their order, and moves their next
-- attempt: the delay doubles from the first to the longest, and up to half of it is added. By
-- the index of what waits. At most row_limit rows.
UPDATE performance_alert_deliveries t SET attempts = t.attempts + 1,
    next_attempt_at = clock_timestamp() + least(power(2, least(t.attempts, 20)) * @first_delay::interval, @longest_delay::interval) * (1 + random() / 2)
FROM performance_alerts a
WHERE a.id = t.alert_id AND t.id IN (
    SELECT d.id FROM performance_alert_deliveries d
    WHERE d.finished_at IS NULL AND d.next_attempt_at <= clock_timestamp() AND d.attempts < @most::integer
        AND NOT EXISTS (SELECT FROM performance_alert_deliveries e WHERE e.alert_id = d.alert_id AND e.finished_at IS NULL AND e.seq < d.seq)
    ORDER BY d.next_attempt_at LIMIT @row_limit FOR UPDATE SKIP LOCKED)
RETURNING t.id, t.alert_id, t.body, t.attempts, a.webhook;

-- name: AlertDeliveryDone :exec
-- Ends a delivery that has arrived. By primary key. At most one row.
UPDATE performance_alert_deliveries SET finished_at = clock_timestamp(), outcome = 'delivered' WHERE id = @id AND finished_at IS NULL;

-- name: AlertDeliveryFail :one
-- Notes why an attempt failed, and gives up after the last one; tells whether it did. By
-- primary key. No row where it has ended meanwhile.
UPDATE performance_alert_deliveries SET last_failure = @failure,
    finished_at = CASE WHEN attempts >= @most::integer THEN clock_timestamp() END,
    outcome = CASE WHEN attempts >= @most::integer THEN 'failed' ELSE '' END
WHERE id = @id AND finished_at IS NULL
RETURNING (finished_at IS NOT NULL)::boolean AS given_up;

-- name: AlertDeliveryExpire :exec
-- Gives up deliveries whose last attempt nobody has told the end of. By the index of
-- what waits.
UPDATE performance_alert_deliveries SET finished_at = clock_timestamp(), outcome = 'failed'
WHERE finished_at IS NULL AND attempts >= @most::integer AND next_attempt_at <= clock_timestamp();

-- name: AlertDeliveryTrim :execrows
-- Deletes deliveries that have ended long ago. By the index of what has ended. At most
-- row_limit rows.
DELETE FROM performance_alert_deliveries WHERE id IN (
    SELECT d.id FROM performance_alert_deliveries d WHERE d.finished_at < clock_timestamp() - @keeps::interval
    ORDER BY d.finished_at LIMIT @row_limit);
