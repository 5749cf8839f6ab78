package bench

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

// effort is how many operations a round measures, and how many keys are filled for
// the memory.
type effort struct {
	localOps, docacheOps int
	secretOps            int
	networkOps           int // at most 1,666: loads are limited to 5,000 a second
	updatePairs          int
	fill                 int
}

func (o ValidateOptions) effort() effort {
	if o.Quick {
		return effort{localOps: 50_000, docacheOps: 15_000, secretOps: 5_000, networkOps: 50, updatePairs: 2, fill: 5_000}
	}
	return effort{localOps: 1_000_000, docacheOps: 300_000, secretOps: 100_000, networkOps: 1_000, updatePairs: 48, fill: reported}
}

// unknowns are the hashes that are known to be unknown.
const unknowns = 1_000

// validation is what the figures of Validate are measured on.
type validation struct {
	effort

	lib     *session
	conn    *pgx.Conn
	queries *db.Queries
	entries *entries

	hashes, names, unknown draw
	accounts, sessions     draw     // of one
	table                  sync.Map // of *apikeys.Validation by hash
	missing, unseen        int      // the next key, and entry, that was never asked for
	updated                []string // ids
	changes                int64    // of them
	keys                   int
}

func newValidation(ctx context.Context, p Place, keys int, e effort) (b *validation, err error) {
	b = &validation{effort: e, keys: keys, queries: db.New(), missing: max(keys, e.fill), unseen: keys}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	if b.conn, err = pgx.Connect(ctx, p.DatabaseURL); err != nil {
		return b, err
	}
	if err = createKeys(ctx, b.conn, b.missing+rounds*b.networkOps); err != nil {
		return b, err
	}
	if b.entries, err = openEntries(ctx, p, keys+rounds*b.networkOps); err != nil {
		return b, err
	}
	if b.lib, err = openSession(ctx, p, repo.DefaultMaxConns, nil); err != nil {
		return b, err
	}
	return b, b.prepare(ctx)
}

func (b *validation) close(ctx context.Context) (err error) {
	if b.lib != nil {
		err = b.lib.close(ctx)
	}
	if b.entries != nil {
		err = errors.Join(err, b.entries.close(ctx))
	}
	if b.conn != nil {
		err = errors.Join(err, b.conn.Close(context.WithoutCancel(ctx)))
	}
	return err
}

// prepare draws, and fills every cache that is asked.
func (b *validation) prepare(ctx context.Context) error {
	b.hashes = newDraw(b.keys, keyHash)
	b.names = newDraw(b.keys, func(i int) string { return b.entries.names[i] })
	b.unknown = newDraw(unknowns, unknownHash)
	for i := range b.keys {
		b.table.Store(strings.Clone(keyHash(i)), new(apikeys.Validation))
	}
	if err := b.createUpdated(ctx); err != nil {
		return err
	}
	if err := b.createSecrets(ctx); err != nil {
		return err
	}
	if err := b.entries.warm(ctx, b.keys); err != nil {
		return err
	}
	if err := b.lib.ready(ctx); err != nil {
		return err
	}
	if err := b.lib.warm(ctx, b.keys, keyHash); err != nil {
		return err
	}
	if err := b.lib.warm(ctx, unknowns, unknownHash); err != nil {
		return err
	}
	return b.warmSecrets(ctx)
}
