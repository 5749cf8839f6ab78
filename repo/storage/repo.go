package storage

import (
	"context"

	"golang.org/x/sync/singleflight"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Config is what a Repo stands on.
type Config struct {
	Primary *strategy.Postgres
	// Cache may be nil: there is no Redis then.
	Cache *cache.Cache
	// Switches must be started, and are closed by whoever did.
	Switches *strategy.Switches
	// Journal tells how usage's journal does; nil where there is none.
	Journal func(context.Context) (cache.JournalHealth, error)
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
// After an outcomeUnknown, GetStorageConfig tells within a second what holds.
func (r *Repo) SwitchStorageStrategy(ctx context.Context, t strategy.DataType, c strategy.Config) strategy.SwitchResult {
	return r.Switches.Switch(ctx, t, c)
}
