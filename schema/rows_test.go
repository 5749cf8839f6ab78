package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/schema"
)

// filled gives each version rows for the tables that it adds, so that the
// migrations beside it are tried on data.
var filled = map[int64]string{
	1: `SELECT`, // its one row is its own
	2: `INSERT INTO api_keys (id, hashed_key, name, tags, daily_cost_limit, extra, created_at, updated_at, deleted_at) VALUES
			('0190b8a0-0000-7000-8000-000000000001', sha256('a'), 'a', '{x,"y z"}', 1.000000000001, '{"n": 1e2}', now(), now(), NULL),
			('0190b8a0-0000-7000-8000-000000000002', sha256('b'), 'b', '{}', 0, '{}', '2000-01-01Z', now(), now());
		INSERT INTO api_keys (id, legacy_hash, name, created_at, updated_at) VALUES
			('0190b8a0-0000-7000-8000-000000000003', sha256('c'), 'c', now(), now());
		INSERT INTO api_key_last_used VALUES ('0190b8a0-0000-7000-8000-000000000001', now())`,
	3: `SELECT usage_ensure_month('2025-09-01Z'), usage_ensure_month('2025-10-01Z');
		INSERT INTO usage_pending SELECT nextval('usage_batch_id'), '2025-09-16Z', '2025-10-01Z';
		INSERT INTO usage_records SELECT at, gen_random_uuid(), '0190b8a0-0000-7000-8000-000000000001',
			'00000000-0000-0000-0000-000000000000', 1, 1, 2, 3, 4, 5, 14, 0.000000000001, 'claude', 'm'
			FROM unnest('{2025-09-16Z,2025-10-01Z}'::timestamptz[]) at;
		INSERT INTO usage_requests VALUES (gen_random_uuid(), '2025-09-16');
		INSERT INTO usage_rollups VALUES ('0190b8a0-0000-7000-8000-000000000001', '00000000-0000-0000-0000-000000000000',
			'2025-09-16T08:15Z', 1, 1, 2, 3, 4, 5, 14, 0.000000000001, 'm')`,
	4: `INSERT INTO cache_outbox (kind, key) VALUES ('apikey', sha256('a')); UPDATE cache_heartbeat SET beat = 1, epoch = 1, server = 's'`,
	5: `SELECT`, // it fills its own tables from those of version 3
	6: `ALTER TABLE accounts DISABLE TRIGGER USER; -- else the outbox keeps a row
		INSERT INTO accounts (id, platform, name, created_at, updated_at, scopes, proxy_type, proxy_host, proxy_port, access_token, details, deleted_at) VALUES
			('0190b8a0-0000-7000-8000-000000000011', 'claude', 'a', now(), now(), '{x,"y z"}', 'http', 'h', 1, sha256('t'), '{"n": 1e2}', NULL),
			('0190b8a0-0000-7000-8000-000000000012', 'droid', 'b', now(), now(), '{}', '', '', 0, NULL, '{}', now());
		INSERT INTO account_refreshes VALUES ('0190b8a0-0000-7000-8000-000000000011', gen_random_uuid(), now(), now(), 1, NULL);
		ALTER TABLE accounts ENABLE TRIGGER USER`,
	// The trigger would leave rows in a table that this version does not take away.
	7: `ALTER TABLE sessions DISABLE TRIGGER USER;
		INSERT INTO sessions VALUES (gen_random_uuid(), sha256('s'), 'u', 'admin', '{"n": 1.50, "n": 2}', '::1', 'agent', now(), now()),
			(gen_random_uuid(), sha256('t'), 'u', 'user', '{}', NULL, '', now(), now() + interval '1 day');
		ALTER TABLE sessions ENABLE TRIGGER USER`,
	8: `INSERT INTO performance_samples VALUES (now(), gen_random_uuid(), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, '{DB_QUERY_TIMEOUT}', '{11}');
		INSERT INTO performance_queries VALUES (now(), gen_random_uuid(), 'SessionInsert', 1, 2, now())`,
	9: `INSERT INTO storage_strategies VALUES ('apikey', 'postgres', true, 600, 'cache_first', 'write_around', 1, now())`,
	10: `INSERT INTO performance_alerts VALUES ('0190b8a0-0000-7000-8000-000000000021', 'errors.rate', '>=', 0.5, 60000, 'https://example.com/', now(), 'firing', now());
		INSERT INTO performance_alert_deliveries (id, alert_id, body) VALUES (gen_random_uuid(), '0190b8a0-0000-7000-8000-000000000021', '{}')`,
	11: `INSERT INTO storage_strategies VALUES ('session', 'redis', false, 0, 'database_first', 'write_through', 1, now())`,
	12: `SELECT`, // its rows are those of the ledger
	13: `INSERT INTO usage_imported VALUES ('2025-09-01Z', '2025-10-01Z', '0190b8a0-0000-7000-8000-000000000001', 1, 2, 3, 4, 5, 14, 0.000000000001, 'key', 'month', 'm'),
			('2000-01-01Z', '2025-09-01Z', '0190b8a0-0000-7000-8000-000000000011', 1, 2, 3, 4, 5, 14, 0, 'account', 'opening', 'm');
		INSERT INTO legacy_objects VALUES (now(), 'user', 'a', sha256('a'))`,
	14: `UPDATE storage_primaries SET step = 'copying', holder = gen_random_uuid(), lease_expires_at = now(), began_at = now() WHERE data_type = 'apikey'`,
	15: `UPDATE accounts SET status_at = now()`,
	16: `SELECT`, // its rows are those of the ledger
}

// Up and down by one, over rows of every older version and of its own.
func TestMigrationsKeepRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	steps := b.goose(schema.FS())
	for _, v := range schema.Versions() {
		require.Contains(t, filled, v, "give the new migration rows")
		before := b.rows()
		require.Equal(t, v, b.upByOne(steps))
		b.exec(filled[v])
		b.down(v)
		require.Equal(t, before, b.rows(), v)
		require.Equal(t, v, b.upByOne(steps))
		b.exec(filled[v])
	}
	_, err := b.migrator.DownTo(t.Context(), 0)
	require.NoError(t, err)
	_, err = b.migrator.Up(t.Context())
	require.NoError(t, err)
}
