package apikeys

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
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
			require.NotContains(t, stored, id)
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
