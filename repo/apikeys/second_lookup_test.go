package apikeys_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// An hour passes while a plaintext is looked up by its native hash, which nobody
// has. The legacy hash is judged by the clock of its own look-up: one key has
// expired by then, and what the process holds of the other is too old.
func TestTheSecondLookupHasItsOwnClock(t *testing.T) {
	b := setup(t, legacy)
	start, slow, calls := time.Now(), false, 0
	b.keys.SetClock(func() time.Time {
		if calls++; slow && calls > 1 {
			return start.Add(time.Hour)
		}
		return start
	})
	validate := func(plaintext string) bool {
		calls = 0
		v, err := b.keys.ValidatePlaintext(b.ctx(), plaintext).Get()
		require.NoError(t, err)
		return v.IsActive
	}
	b.legacyOnly("cr_expires", start.Add(30*time.Minute))
	require.True(t, validate("cr_expires"))
	revoked := b.legacyOnly("cr_revoked", time.Time{})
	require.Eventually(t, func() bool {
		require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), revoked, apikeys.Patch{IsActive: result.Set(true)}).Err())
		require.True(t, validate("cr_revoked"))
		b.disableSecretly(revoked)
		return validate("cr_revoked") // the process holds it
	}, time.Minute, time.Millisecond)

	slow = true
	require.False(t, validate("cr_expires"))
	require.False(t, validate("cr_revoked"))
}

// legacyOnly makes a key that never gets its native hash, which a deleted one has.
func (b *bundle) legacyOnly(plaintext string, expires time.Time) (id string) {
	b.Helper()
	gone := b.create(apikeys.KeyData{HashedKey: apikeys.HashPlaintext(plaintext)})
	require.NoError(b, b.keys.DeleteAPIKey(b.ctx(), gone.ID).Err())
	hash := apikeys.LegacyHash(plaintext, encryptionKey)
	return b.create(apikeys.KeyData{HashedKey: hash, HashScheme: apikeys.HashLegacy, ExpiresAt: expires}).ID
}

// disableSecretly fires no trigger, so that no cache hears of it.
func (b *bundle) disableSecretly(id string) {
	b.Helper()
	require.NoError(b, pgx.BeginFunc(b.ctx(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(b.ctx(), "SET LOCAL session_replication_role = replica"); err != nil {
			return err
		}
		_, err := tx.Exec(b.ctx(), "UPDATE api_keys SET is_active = false WHERE id = $1", id)
		return err
	}))
}
