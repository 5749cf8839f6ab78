package apikeys_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Processes that use one key all the time store one use a minute together.
func TestLastUsesOfAllProcessesAreOneWriteAMinute(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{})
	id, start := uuid.MustParse(k.ID), time.Now().UTC().Truncate(time.Microsecond)
	processes := []*apikeys.Repo{b.keys, testclient.Open(t, b.cfg).APIKeys, testclient.Open(t, b.cfg).APIKeys}
	row := func() (version string) {
		require.NoError(t, b.pool.QueryRow(b.ctx(), "SELECT xmin::text || ctid::text FROM api_key_last_used WHERE api_key_id = $1", id).Scan(&version))
		return version
	}
	written, last := 0, ""
	for second := 0; second < 180; second += 10 { // each process has its own minute
		p := processes[second/10%len(processes)]
		require.NoError(t, p.StoreLastUsed(b.ctx(), map[uuid.UUID]time.Time{id: start.Add(time.Duration(second) * time.Second)}))
		if now := row(); now != last {
			written, last = written+1, now
		}
	}
	require.Equal(t, 3, written)
	require.Equal(t, start.Add(120*time.Second), b.get(k.ID).LastUsedAt)
}

// A last use is stored while the key is disabled: neither undoes the other, and the
// use is no change of the key.
func TestALastUseNeverRacesADisable(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{})
	id, start := uuid.MustParse(k.ID), time.Now().UTC().Truncate(time.Microsecond)
	for round := range 30 {
		require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(true)}).Err())
		used := start.Add(time.Duration(round) * time.Minute)
		var stored, disabled error
		var both sync.WaitGroup
		both.Go(func() { stored = b.keys.StoreLastUsed(b.ctx(), map[uuid.UUID]time.Time{id: used}) })
		both.Go(func() {
			disabled = b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(false)}).Err()
		})
		both.Wait()
		require.NoError(t, stored)
		require.NoError(t, disabled)
		before := b.get(k.ID)
		require.False(t, before.IsActive)
		require.Equal(t, used, before.LastUsedAt)
		require.False(t, b.active(k.HashedKey))
		require.NoError(t, b.keys.StoreLastUsed(b.ctx(), map[uuid.UUID]time.Time{id: used.Add(55 * time.Second)}))
		after := b.get(k.ID)
		require.False(t, after.IsActive)
		require.Equal(t, before.UpdatedAt, after.UpdatedAt)
		start = start.Add(time.Minute)
	}
}
