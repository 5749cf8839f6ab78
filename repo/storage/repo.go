package storage

import (
	"context"

	"golang.org/x/sync/singleflight"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Config is what a Repo stands on.
type Config struct {
	Primary *strategy.Postgres
	// Cache may be nil: there is no Redis then.
	Cache *cache.Cache
	// Switches must be started, and are closed by whoever did.
	Switches *strategy.Switches
	// Journal tells how usage's journal does, and Touches how that of the other data types
	// does; nil where there is none.
	Journal, Touches func(context.Context) (cache.JournalHealth, error)
}

// Repo is the contract's StorageStrategyInterface. It is safe for concurrent use.
type Repo struct {
	Config

	queries *db.Queries
	looks   singleflight.Group // of Measure
}

// New makes a Repo.
func New(cfg Config) *Repo { return &Repo{Config: cfg, queries: db.New()} }

// GetStorageConfig gives how a data type is stored, as this process knows it, which is
// less than a second old while PostgreSQL answers. An unknown data type is InvalidQuery.
func (r *Repo) GetStorageConfig(t strategy.DataType) (strategy.State, error) {
	if err := strategy.CheckDataType(t); err != nil {
		return strategy.State{}, err
	}
	return r.Switches.State(t), nil
}

// SwitchStorageStrategy changes how a data type is stored, in this process before it
// returns and in the others within a second. A mode that this version or this process
// has no machinery for is InvalidQuery, which names the member and has changed nothing.
// After an outcomeUnknown, GetStorageConfig tells within a second what holds. Another
// primary is a SwitchPrimary.
func (r *Repo) SwitchStorageStrategy(ctx context.Context, t strategy.DataType, c strategy.Config) strategy.SwitchResult {
	return r.Switches.Switch(ctx, t, c)
}

// SwitchPrimary is SwitchStorageStrategy that tells how far it is; an extension. Where
// the config has another primary, the data type's writers wait in all processes, up to
// their deadlines (then ReadOnly), while its records are copied and compared; reads go
// on. Whatever fails, and wherever the process dies, one of the two is the primary,
// whole, and the call can be made again. TransactionConflict means that it has to be.
// ctx alone bounds it. progress, which may be nil, must not block.
func (r *Repo) SwitchPrimary(ctx context.Context, t strategy.DataType, c strategy.Config, progress func(strategy.Progress)) strategy.SwitchResult {
	return r.Switches.Move(ctx, t, c, progress)
}

// Moves gives the switches of a primary that are under way, by whichever process; an
// extension. They are read from PostgreSQL each time.
func (r *Repo) Moves(ctx context.Context) ([]strategy.Progress, error) {
	moves, err := r.Switches.Moves(ctx)
	if err != nil {
		return nil, result.From(err)
	}
	return moves, nil
}
