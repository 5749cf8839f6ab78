package legacyobjects

import (
	"context"
	"encoding/json"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// CounterRests gives what an import has kept of usage counters besides their figures, of
// at most MaxPut keys or accounts: by id and the name of the counter's key, its fields.
// Without a keyset nothing was kept.
func (r *Repo) CounterRests(ctx context.Context, accounts bool, ids []string) (map[string]map[string]map[string]string, error) {
	if r.Sealer == nil || len(ids) == 0 {
		return nil, nil
	}
	kind := KeyRests
	if accounts {
		kind = AccountRests
	}
	objects, err := r.Get(ctx, kind, ids)
	if err != nil {
		return nil, err
	}
	rests := make(map[string]map[string]map[string]string, len(objects))
	for _, o := range objects {
		var doc map[string]map[string]string
		if json.Unmarshal(o.Data, &doc) != nil {
			return nil, result.New(result.Internal, "an object is not what an import keeps").With("kind", kind).With("id", o.ID)
		}
		rests[o.ID] = doc
	}
	return rests, nil
}
