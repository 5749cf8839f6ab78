package touches

import (
	"context"
	"errors"
	"fmt"
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
					require.False(t, errors.As(errs[n], &refused))
				default:
					require.NoError(t, errs[n])
					require.Contains(t, stored, number{n})
				}
			}
		}
	}
}
