package sessions

import (
	"context"

	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/strategy"
)

// columns are those of sessions. No operation names the hash of a token, or what a
// session holds.
var columns = []batch.Column{
	{Name: "id", Kind: batch.UUID, Uses: batch.InWhere | batch.Unique},
	{Name: "token_hash", Kind: batch.Bytes},
	{Name: "user_id", Kind: batch.Text, Uses: batch.InWhere},
	{Name: "user_type", Kind: batch.Text, Uses: batch.InWhere},
	{Name: "session_data", Kind: "json"},
	{Name: "ip_address", Kind: "inet"},
	{Name: "user_agent", Kind: batch.Text, Uses: batch.InWhere},
	{Name: "created_at", Kind: batch.Time, Uses: batch.InWhere},
	{Name: "expires_at", Kind: batch.Time, Uses: batch.InWhere},
}

// Batch gives BatchOperation the table sessions. Sessions are ended by it, and not
// opened or changed: only a method has a token.
func (r *Repo) Batch() batch.Domain {
	return batch.Domain{
		Table: "sessions", DataType: strategy.Session, Key: "id", Columns: columns, CacheKeys: []string{"token_hash"},
		Forget: func(ctx context.Context, p *strategy.Postgres, hashes [][]byte) {
			r.evictAfter(ctx, p, cacheKeys(hashes)...)
		},
		Refused: r.Place.NoBatch(strategy.Session),
	}
}
