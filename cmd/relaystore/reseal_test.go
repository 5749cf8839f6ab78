package main

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/accounts"
)

// fillAccounts stores n accounts that the keyset's primary has sealed.
func fillAccounts(t *testing.T, pool *pgxpool.Pool, path string, n int) {
	t.Helper()
	keys, err := seal.ReadFile(path)
	require.NoError(t, err)
	sealer, err := seal.New(keys)
	require.NoError(t, err)
	now := time.Now()
	_, err = pool.CopyFrom(t.Context(), pgx.Identifier{"accounts"},
		[]string{"id", "platform", "name", "access_token", "refresh_token", "api_key", "created_at", "updated_at"},
		pgx.CopyFromSlice(n, func(int) ([]any, error) {
			row := []any{uuid.New(), "claude", "n"}
			for _, column := range []string{"access_token", "refresh_token", "api_key"} {
				sealed, err := sealer.Seal(row[0].(uuid.UUID), column, "secret of "+column)
				if err != nil {
					return nil, err
				}
				row = append(row, sealed)
			}
			return append(row, now, now), nil
		}))
	require.NoError(t, err)
}

// sealedBy counts the accounts whose access token a key has sealed.
func sealedBy(t *testing.T, pool *pgxpool.Pool, id uint32) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM accounts WHERE substring(access_token FROM 2 FOR 4) = decode(lpad(to_hex($1::bigint), 8, '0'), 'hex')", int64(id)).Scan(&n))
	return n
}

// resealSetup gives a database of n accounts under a key that is no longer the
// primary.
func resealSetup(t *testing.T, n int) (env []string, pool *pgxpool.Pool, keys []seal.Key) {
	t.Helper()
	url := testdb.URL(t)
	env, path := keysetEnv(t)
	env = append(env, serverEnv(t, url)...)
	pool = testdb.Pool(t, url)
	ran(t, env, "keyset", "create")
	fillAccounts(t, pool, path, n)
	ran(t, env, "keyset", "rotate")
	ran(t, env, "keyset", "promote")
	return env, pool, keysOfFile(t, env).Keys
}

func TestResealAfterKill(t *testing.T) {
	t.Parallel()
	const all = 3000
	env, pool, keys := resealSetup(t, all)
	p := relaystore(t, env, "reseal")
	require.Eventually(t, func() bool { return sealedBy(t, pool, keys[1].ID) > 0 }, patience, time.Millisecond)
	require.NoError(t, p.Process.Kill())
	_ = p.Wait()
	done := sealedBy(t, pool, keys[1].ID)
	require.Less(t, done, all, "killed in the middle")

	var rep accounts.Resealed
	require.NoError(t, json.Unmarshal([]byte(ran(t, env, "reseal", "--json")), &rep))
	require.Equal(t, accounts.Resealed{KeyID: keys[1].ID, Accounts: all - done, Unopened: []string{}}, rep)
	require.Equal(t, all, sealedBy(t, pool, keys[1].ID))
	require.Contains(t, ran(t, env, "reseal"), "Sealed the secrets of 0 accounts")
}

func TestResealInterrupted(t *testing.T) {
	t.Parallel()
	env, pool, keys := resealSetup(t, 3000)
	p := relaystore(t, env, "reseal")
	require.Eventually(t, func() bool { return sealedBy(t, pool, keys[1].ID) > 0 }, patience, time.Millisecond)
	require.NoError(t, p.Process.Signal(os.Interrupt))
	_, code := p.finish(t)
	require.Equal(t, exitInterrupted, code, p.errors.String())
	require.Less(t, sealedBy(t, pool, keys[1].ID), 3000)
	require.Contains(t, ran(t, env, "reseal"), "Sealed the secrets of")
	require.Equal(t, 3000, sealedBy(t, pool, keys[1].ID))
}

func TestResealTellsWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	env, pool, keys := resealSetup(t, 3)
	var broken string
	require.NoError(t, pool.QueryRow(t.Context(), "UPDATE accounts SET api_key = 'x' WHERE id = (SELECT min(id::text)::uuid FROM accounts) RETURNING id::text").Scan(&broken))
	p := relaystore(t, env, "reseal", "--json")
	out, code := p.finish(t)
	require.Equal(t, exitFailure, code)
	var rep accounts.Resealed
	require.NoError(t, json.Unmarshal([]byte(out), &rep))
	require.Equal(t, accounts.Resealed{KeyID: keys[1].ID, Accounts: 2, Remaining: 1, Unopened: []string{broken}}, rep)
	require.Contains(t, p.errors.String(), "1 accounts still have secrets that another key has sealed; no key of the keyset opens: "+broken)
	require.Contains(t, failed(t, append(env, "RELAYSTORE_KEYSET_FILE="), "reseal"), "RELAYSTORE_KEYSET: required")
}
