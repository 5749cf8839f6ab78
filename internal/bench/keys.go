package bench

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

const plaintextStart = "relaystore bench "

// keyHash is the hash of the nth key that createKeys makes.
func keyHash(n int) string { return apikeys.HashPlaintext(plaintextStart + strconv.Itoa(n)) }

// unknownHash is the nth of the hashes that no key has.
func unknownHash(n int) string { return apikeys.HashPlaintext("unknown " + strconv.Itoa(n)) }

const insertKeys = `INSERT INTO api_keys (id, hashed_key, name, created_at, updated_at)
SELECT gen_random_uuid(), sha256(convert_to($1 || n, 'UTF8')), 'bench', now(), now()
FROM generate_series(0, $2::int - 1) AS n`

// createKeys makes n keys past the library and past the outbox: nobody has ever
// asked for them, and Redis has never heard of them.
func createKeys(ctx context.Context, conn *pgx.Conn, n int) error {
	if err := setTriggers(ctx, conn, false); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, insertKeys, plaintextStart, n); err != nil {
		return err
	}
	if err := setTriggers(ctx, conn, true); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "VACUUM (ANALYZE) api_keys")
	return err
}

// setTriggers turns the outbox's triggers on or off.
func setTriggers(ctx context.Context, conn *pgx.Conn, on bool) error {
	verb := "DISABLE"
	if on {
		verb = "ENABLE"
	}
	_, err := conn.Exec(ctx, "ALTER TABLE api_keys "+verb+" TRIGGER USER")
	return err
}
