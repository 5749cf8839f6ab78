package touches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// number is an entry; one above 9 checks as nobody's.
type number struct {
	N int `json:"n"`
}

func (n number) Check() error {
	if n.N > 9 {
		return errNotAnEntry
	}
	return nil
}

// stored gives what becomes of 0 to 9, which fail together where one of them does.
func stored(t *testing.T, fails map[int]error) (errs []error, have []number) {
	t.Helper()
	k := &Kind{}
	Serve(k, func(_ context.Context, all []number) (int, error) {
		for _, n := range all {
			if err := fails[n.N]; err != nil {
				return 0, err
			}
		}
		have = append(have, all...)
		return 0, nil
	})
	errs = make([]error, 10)
	bodies := make([][]byte, len(errs))
	for i := range bodies {
		bodies[i], _ = json.Marshal(number{i})
	}
	k.store(bodies, errs)
	return errs, have
}

// A record that is damaged, so that nothing can be stored about it, holds up no other. A
// store that works for nobody makes nobody's entry a bad one.
func TestOneBadEntry(t *testing.T) {
	t.Parallel()
	for _, bad := range []error{result.Internal, result.CacheError, result.ConstraintViolation} {
		errs, have := stored(t, map[int]error{3: bad})
		var refused *cache.RefusedError
		require.ErrorAs(t, errs[3], &refused)
		require.NoError(t, errors.Join(slices.Delete(errs, 3, 4)...))
		require.Len(t, have, 9)
	}
	everywhere := make(map[int]error)
	for i := range 10 {
		everywhere[i] = result.Internal
	}
	errs, _ := stored(t, everywhere)
	for _, err := range errs {
		require.ErrorIs(t, err, result.Internal)
	}
	errs, have := stored(t, map[int]error{3: result.ConnectionFailed})
	require.ErrorIs(t, errs[0], result.ConnectionFailed)
	require.Empty(t, have)
}

// Of any five entries, those that the store refuses are put aside, each by itself, and all
// others are stored; a server that is down puts none aside and settles none.
func TestOneBadEntryHurtsOnlyItself(t *testing.T) {
	t.Parallel()
	const all = 5
	bodies := make([][]byte, all+1)
	for i := range all {
		bodies[i] = fmt.Appendf(nil, `{"n":%d}`, i)
	}
	bodies[all] = []byte(`{"n":10}`)
	for bad := range 1 << all {
		for _, down := range []bool{false, true} {
			var stored []number
			k := new(Kind)
			Serve(k, func(_ context.Context, entries []number) (int, error) {
				for _, n := range entries {
					if bad>>n.N&1 == 1 {
						return 0, result.New(result.ConstraintViolation, "refused")
					}
				}
				if down {
					return 0, result.From(result.ConnectionFailed)
				}
				stored = append(stored, entries...)
				return len(entries), nil
			})
			errs := make([]error, len(bodies))
			dropped := k.store(bodies, errs)
			require.Equal(t, len(stored), dropped)
			var refused *cache.RefusedError
			require.ErrorAs(t, errs[all], &refused)
			for n := range all {
				switch {
				case bad>>n&1 == 1:
					require.ErrorAs(t, errs[n], &refused)
				case down:
					require.Error(t, errs[n])
					require.NotErrorAs(t, errs[n], &refused)
				default:
					require.NoError(t, errs[n])
					require.Contains(t, stored, number{n})
				}
			}
		}
	}
}
