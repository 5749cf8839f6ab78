package apikeys

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// What fails stays due, what was stored before it does not.
func TestLastUsesAreStoredInBatches(t *testing.T) {
	t.Parallel()
	stored, calls := map[uuid.UUID]time.Time{}, 0
	failing := errors.New("the third batch")
	u := newLastUsed(func(context.Context, map[uuid.UUID]time.Time) error { return nil })
	require.NoError(t, u.close(t.Context()))
	u.store = func(_ context.Context, at map[uuid.UUID]time.Time) error {
		require.LessOrEqual(t, len(at), usedBatch)
		if calls++; calls == 3 {
			return failing
		}
		for id, used := range at {
			require.Zero(t, stored[id])
			stored[id] = used
		}
		return nil
	}
	now := time.Now()
	const keys = 4*usedBatch + 1
	for range keys {
		u.mark(uuid.New(), now)
	}
	require.Equal(t, failing, u.flush(t.Context(), now))
	require.Len(t, stored, 2*usedBatch)
	require.NoError(t, u.flush(t.Context(), now))
	require.Len(t, stored, keys)
}

// A key that is used all the time is stored once a minute, with its last use.
func TestALastUseIsStoredOnceAMinute(t *testing.T) {
	t.Parallel()
	var stored []time.Time
	u := newLastUsed(func(context.Context, map[uuid.UUID]time.Time) error { return nil })
	require.NoError(t, u.close(t.Context()))
	u.store = func(_ context.Context, at map[uuid.UUID]time.Time) error {
		for _, used := range at {
			stored = append(stored, used)
		}
		return nil
	}
	id, start := uuid.New(), time.Now()
	for second := range 150 {
		now := start.Add(time.Duration(second) * usedFlush)
		u.mark(id, now)
		require.NoError(t, u.flush(t.Context(), now.Add(-usedEvery)))
	}
	require.Equal(t, []time.Time{start, start.Add(61 * time.Second), start.Add(122 * time.Second)}, stored)
	require.NoError(t, u.flush(t.Context(), start.Add(time.Hour)))
	require.NoError(t, u.flush(t.Context(), start.Add(2*time.Hour)))
	require.Len(t, stored, 4)
	require.Empty(t, u.marks, "a key that is not used any more is forgotten")
}

// Of a key's uses the first of each minute is noted: every other one costs a hit no
// lock.
func TestAUseIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	u := newLastUsed(func(context.Context, map[uuid.UUID]time.Time) error { return nil })
	require.NoError(t, u.close(t.Context()))
	r, rec := &Repo{used: u}, newRecord(known{ID: uuid.New(), IsActive: true})
	noted, start := 0, time.Now()
	for second := range 150 {
		var v result.Result[Validation]
		r.answer(&v, rec, nil, start.Add(time.Duration(second)*time.Second))
		require.NoError(t, v.Err())
		noted += len(u.marks)
		clear(u.marks)
	}
	require.Equal(t, 3, noted)
	disabled := newRecord(known{ID: uuid.New()})
	var v result.Result[Validation]
	r.answer(&v, disabled, nil, start)
	require.Empty(t, u.marks, "a refusal is no use")
}
