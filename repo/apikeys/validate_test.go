package apikeys_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*repo.Config){"cached": func(*repo.Config) {}, "uncached": uncached} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, change)
			ends := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
			k := b.create(apikeys.KeyData{Permissions: "gemini", ExpiresAt: ends, ConcurrencyLimit: 3, DailyCostLimit: result.MustMoney("0.25"), RateLimitRequests: 9})
			want := apikeys.Validation{ID: k.ID, Permissions: "gemini", IsActive: true, ExpiresAt: ends,
				RateLimits: apikeys.RateLimits{Concurrency: 3, Daily: result.MustMoney("0.25"), Requests: 9}}
			for range 3 { // from the primary, from Redis, from the process
				got, err := b.keys.ValidateAPIKey(b.ctx(), k.HashedKey).Get()
				require.NoError(t, err)
				require.JSONEq(t, marshal(t, want), marshal(t, got))
			}
			got, err := b.keys.ValidatePlaintext(b.ctx(), k.APIKey).Get()
			require.NoError(t, err)
			require.Equal(t, want.ID, got.ID)

			expired := b.create(apikeys.KeyData{ExpiresAt: time.Now().Add(-time.Second)})
			require.False(t, b.active(expired.HashedKey))

			require.True(t, b.active(k.HashedKey))
			require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(false)}).Err())
			require.False(t, b.active(k.HashedKey))
			require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(true)}).Err())
			require.True(t, b.active(k.HashedKey))
			require.NoError(t, b.keys.DeleteAPIKey(b.ctx(), k.ID).Err())
			require.ErrorIs(t, b.keys.ValidateAPIKey(b.ctx(), k.HashedKey).Err(), result.RecordNotFound)
			require.ErrorIs(t, b.keys.ValidatePlaintext(b.ctx(), k.APIKey).Err(), result.RecordNotFound)
		})
	}
}

func TestValidateUnknown(t *testing.T) {
	b := setup(t, legacy)
	for _, plaintext := range []string{"", "cr_nobody", "\xff\x00", string(make([]byte, 1<<20))} {
		require.ErrorIs(t, b.keys.ValidatePlaintext(b.ctx(), plaintext).Err(), result.RecordNotFound)
	}
	require.ErrorIs(t, b.keys.ValidateAPIKey(b.ctx(), apikeys.HashPlaintext("x")).Err(), result.RecordNotFound)
	for _, hash := range []string{"", "abc", "' OR 1=1 --", apikeys.HashPlaintext("x") + "0"} {
		requireField(t, b.keys.ValidateAPIKey(b.ctx(), hash).Err(), result.InvalidQuery, "hashedKey")
	}
}

func TestCreatedAfterAskedForValidatesAtOnce(t *testing.T) {
	b := setup(t)
	hash := apikeys.HashPlaintext("early")
	require.ErrorIs(t, b.keys.ValidateAPIKey(b.ctx(), hash).Err(), result.RecordNotFound)
	b.create(apikeys.KeyData{HashedKey: hash})
	require.True(t, b.active(hash))
}

// The vector is LEGACY.md's: claude-relay-service v1.1.314 with its default key.
func TestLegacyHash(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1b32d67e8a87653fca450cfe9bf7ae56f321813a9ddf416940a921f66d9a6cae", apikeys.LegacyHash("cr_test", encryptionKey))
}

func TestLegacyKeysGoOnValidating(t *testing.T) {
	b := setup(t, legacy)
	old := apikeys.LegacyHash("cr_test", encryptionKey)
	k := b.create(apikeys.KeyData{HashedKey: old, HashScheme: apikeys.HashLegacy})
	require.Empty(t, k.APIKey)
	require.True(t, b.active(old))
	require.ErrorIs(t, b.keys.ValidateAPIKey(b.ctx(), apikeys.HashPlaintext("cr_test")).Err(), result.RecordNotFound)

	v, err := b.keys.ValidatePlaintext(b.ctx(), "cr_test").Get()
	require.NoError(t, err)
	require.Equal(t, k.ID, v.ID)
	require.True(t, b.active(apikeys.HashPlaintext("cr_test")), "a match adds the native hash")
	require.True(t, b.active(old))
	stored := b.get(k.ID)
	require.Equal(t, apikeys.HashPlaintext("cr_test"), stored.HashedKey)

	require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(false)}).Err())
	require.False(t, b.active(old), "both hashes' copies go")
	require.False(t, b.active(apikeys.HashPlaintext("cr_test")))
}

func TestCreateWithLegacyKeyStoresBothHashes(t *testing.T) {
	b := setup(t, legacy)
	k := b.create(apikeys.KeyData{})
	require.True(t, b.active(k.HashedKey))
	require.True(t, b.active(apikeys.LegacyHash(k.APIKey, encryptionKey)))
}

func TestFirstValidationsActivateOnceAndAgree(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	for _, unit := range []struct {
		name string
		life time.Duration
	}{{"hours", 12 * time.Hour}, {"days", 12 * 24 * time.Hour}} {
		k := b.create(apikeys.KeyData{ExpirationMode: "activation", ActivationDays: 12, ActivationUnit: unit.name})
		require.True(t, b.get(k.ID).ExpiresAt.IsZero())

		const callers = 16
		ends := make([]time.Time, callers)
		var group sync.WaitGroup
		for i := range callers {
			client := []*repo.Client{b.Client, other}[i%2]
			group.Go(func() {
				if v, err := client.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey).Get(); err == nil && v.IsActive {
					ends[i] = v.ExpiresAt
				}
			})
		}
		group.Wait()
		stored := b.get(k.ID)
		require.Equal(t, unit.life, stored.ExpiresAt.Sub(stored.ActivatedAt))
		for _, end := range ends {
			require.Equal(t, stored.ExpiresAt, end)
		}
	}
}

func TestDisabledKeyIsNotActivated(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{ExpirationMode: "activation"})
	require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(false)}).Err())
	require.False(t, b.active(k.HashedKey))
	require.True(t, b.get(k.ID).ActivatedAt.IsZero())
	require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(true)}).Err())
	require.True(t, b.active(k.HashedKey))
	stored := b.get(k.ID)
	require.Equal(t, 30*24*time.Hour, stored.ExpiresAt.Sub(stored.ActivatedAt), "30 days where none are given")
}

// A disabling update has returned: no later call of the process says yes, however
// many calls filled the cache meanwhile (P3).
func TestNoStaleYesInTheWritersProcess(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{})
	ctx, stop := context.WithCancel(b.ctx())
	var rounds atomic.Int64 // odd while the key is off; a number tells one such time from the next
	var stale atomic.Int64
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				round := rounds.Load()
				v, err := b.keys.ValidateAPIKey(ctx, k.HashedKey).Get()
				if err == nil && v.IsActive && round%2 == 1 && round == rounds.Load() {
					stale.Add(1)
				}
			}
		})
	}
	for range 100 {
		require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(false)}).Err())
		rounds.Add(1)
		for range 5 {
			require.False(t, b.active(k.HashedKey))
		}
		rounds.Add(1)
		require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(true)}).Err())
	}
	stop()
	readers.Wait()
	require.Zero(t, stale.Load())
}

func TestOtherProcessStopsSayingYes(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	k := b.create(apikeys.KeyData{})
	otherSays := func() bool {
		v, err := other.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey).Get()
		return err == nil && v.IsActive
	}
	require.True(t, otherSays())
	require.NoError(t, b.keys.DeleteAPIKey(b.ctx(), k.ID).Err())
	require.Eventually(t, func() bool { return !otherSays() }, 10*time.Second, time.Millisecond)
}

func TestLastUsedIsStored(t *testing.T) {
	b := setup(t)
	k, unused := b.create(apikeys.KeyData{}), b.create(apikeys.KeyData{})
	before := time.Now().Truncate(time.Microsecond)
	second := testclient.Open(t, b.cfg)
	require.NoError(t, second.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey).Err())
	updated := b.get(k.ID).UpdatedAt
	require.NoError(t, second.Close(context.Background()))
	stored := b.get(k.ID)
	require.False(t, stored.LastUsedAt.Before(before))
	require.Equal(t, updated, stored.UpdatedAt, "use does not touch the record")
	require.True(t, b.get(unused.ID).LastUsedAt.IsZero())
}

// More keys than the cache keeps: each validates, and what went is counted.
func TestEvictedKeysValidate(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.CachedKeys = 1 })
	var hashes []string
	for range 30 {
		hashes = append(hashes, b.create(apikeys.KeyData{}).HashedKey)
	}
	require.Eventually(t, func() bool {
		for _, hash := range hashes {
			require.True(t, b.active(hash))
		}
		return b.keys.Evictions() > 0
	}, time.Minute, time.Millisecond)
}

// A use that was stored later does not go back to one that was before it.
func TestLastUsedNeverGoesBack(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{})
	id, now := uuid.MustParse(k.ID), time.Now().UTC().Truncate(time.Microsecond)
	for _, used := range []time.Time{now, now.Add(-time.Hour)} {
		require.NoError(t, db.New().APIKeyLastUsedUpsert(b.ctx(), b.pool, db.APIKeyLastUsedUpsertParams{APIKeyIds: []uuid.UUID{id}, Times: []time.Time{used}}))
	}
	require.Equal(t, now, b.get(k.ID).LastUsedAt)
}

func TestUnknownIDs(t *testing.T) {
	b := setup(t)
	for _, id := range []string{"", "1", uuid.Nil.String(), "'; DROP TABLE api_keys; --"} {
		requireField(t, b.keys.GetAPIKey(b.ctx(), id).Err(), result.InvalidQuery, "keyId")
		requireField(t, b.keys.UpdateAPIKey(b.ctx(), id, apikeys.Patch{}).Err(), result.InvalidQuery, "keyId")
		requireField(t, b.keys.DeleteAPIKey(b.ctx(), id).Err(), result.InvalidQuery, "keyId")
	}
	id := uuid.NewString()
	require.ErrorIs(t, b.keys.GetAPIKey(b.ctx(), id).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.keys.UpdateAPIKey(b.ctx(), id, apikeys.Patch{}).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.keys.DeleteAPIKey(b.ctx(), id).Err(), result.RecordNotFound)
}
