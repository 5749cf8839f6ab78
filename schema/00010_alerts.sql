-- +goose Up
-- What somebody wants to hear of. The state belongs to whoever evaluates: pending is
-- in breach, but not for the duration yet. since is when the state began.
CREATE TABLE performance_alerts (
    id          uuid PRIMARY KEY,
    metric      text NOT NULL CHECK (octet_length(metric) BETWEEN 1 AND 64),
    operator    text NOT NULL CHECK (operator IN ('>', '<', '>=')),
    threshold   double precision NOT NULL CHECK (threshold > '-Infinity' AND threshold < 'Infinity'),
    duration_ms bigint NOT NULL CHECK (duration_ms BETWEEN 0 AND 604800000),
    webhook     text NOT NULL CHECK (octet_length(webhook) <= 2048),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    state       text NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'pending', 'firing')),
    since       timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The same alert again is no second one.
CREATE UNIQUE INDEX performance_alerts_same ON performance_alerts (metric, operator, threshold, duration_ms, webhook);

-- State changes on their way to a webhook; id is the Idempotency-Key. Whoever takes one
-- moves its next attempt first, so that one that dies delays it and loses nothing.
CREATE TABLE performance_alert_deliveries (
    id              uuid PRIMARY KEY,
    alert_id        uuid NOT NULL REFERENCES performance_alerts (id) ON DELETE CASCADE,
    seq             bigint GENERATED ALWAYS AS IDENTITY,
    body            text NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at     timestamptz,
    outcome         text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'delivered', 'failed')),
    last_failure    text NOT NULL DEFAULT ''
);
-- AlertDeliveryTake and AlertDeliveryExpire read what waits by its time.
CREATE INDEX performance_alert_deliveries_due ON performance_alert_deliveries (next_attempt_at) WHERE finished_at IS NULL;
-- AlertDeliveryTake and AlertDeliverySupersede read an alert's in their order, AlertList
-- counts them.
CREATE INDEX performance_alert_deliveries_alert ON performance_alert_deliveries (alert_id, seq);
-- AlertDeliveryTrim reads what has ended by its end.
CREATE INDEX performance_alert_deliveries_finished ON performance_alert_deliveries (finished_at) WHERE finished_at IS NOT NULL;

-- The one process that evaluates, for as long as its lease, on the database's clock.
CREATE TABLE performance_evaluator (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder       uuid NOT NULL,
    expires_at   timestamptz NOT NULL,
    evaluated_at timestamptz NOT NULL -- when its last round began
);
INSERT INTO performance_evaluator (holder, expires_at, evaluated_at)
VALUES ('00000000-0000-0000-0000-000000000000', '2000-01-01Z', '2000-01-01Z');

-- +goose Down
DROP TABLE performance_evaluator;
DROP TABLE performance_alert_deliveries;
DROP TABLE performance_alerts;
