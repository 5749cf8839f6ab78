-- +goose Up
-- What each process measured of itself: a row a process and minute, so that no two
-- write the same one. The id is the row's, made when its minute began. Binaries that
-- are older take no notice of these tables.
CREATE TABLE performance_samples (
    minute          timestamptz NOT NULL,
    id              uuid        NOT NULL,
    queries         bigint      NOT NULL CHECK (queries >= 0),
    query_micros    bigint      NOT NULL CHECK (query_micros >= 0),
    slow_queries    bigint      NOT NULL CHECK (slow_queries >= 0),
    -- Calls that asked for a connection and their waits; connections times how long
    -- they were in use, and could have been.
    acquires        bigint      NOT NULL CHECK (acquires >= 0),
    wait_micros     bigint      NOT NULL CHECK (wait_micros >= 0),
    busy_micros     bigint      NOT NULL CHECK (busy_micros >= 0),
    capacity_micros bigint      NOT NULL CHECK (capacity_micros >= 0),
    hits            bigint      NOT NULL CHECK (hits >= 0),
    misses          bigint      NOT NULL CHECK (misses >= 0),
    evictions       bigint      NOT NULL CHECK (evictions >= 0),
    error_codes     text[]      NOT NULL,
    error_counts    bigint[]    NOT NULL,
    -- PerformanceSum, PerformanceErrors and PerformanceTrim read a span of minutes.
    PRIMARY KEY (minute, id),
    CONSTRAINT performance_samples_errors CHECK (cardinality(error_codes) = cardinality(error_counts) AND cardinality(error_codes) <= 64)
);

-- The same by query: a row a process, hour and name, which its process replaces each
-- minute.
CREATE TABLE performance_queries (
    hour          timestamptz NOT NULL,
    id            uuid        NOT NULL,
    name          text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    calls         bigint      NOT NULL CHECK (calls > 0),
    total_micros  bigint      NOT NULL CHECK (total_micros >= 0),
    last_executed timestamptz NOT NULL,
    -- PerformanceQueries and PerformanceQueryTrim read a span of hours.
    PRIMARY KEY (hour, id, name)
) WITH (fillfactor = 50); -- so that its 60 updates stay in their page

-- +goose Down
DROP TABLE performance_queries;
DROP TABLE performance_samples;
