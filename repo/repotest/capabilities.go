package repotest

import (
	"slices"
	"time"

	"github.com/seed14a526e0/relaystore/strategy"
)

// Capabilities say what a client's primaries can do; [Full] is all of it.
type Capabilities struct {
	// Transactions are the data types whose methods work inside a transaction. The
	// methods of others are InvalidQuery there; where there are no transactions at all,
	// they may be PoolExhausted.
	Transactions []strategy.DataType
	// Batches are the data types that BatchOperation changes. For others it fails in
	// the same way.
	Batches []strategy.DataType
	// Secrets tells that accounts may have secrets. Without, creating one that has is
	// InvalidQuery.
	Secrets bool

	// Behind tells that RecordUsage returns before figures have its record, and that it
	// does not know whether a requestId is a duplicate.
	Behind bool
	// Lags tells that accounts' statuses and sessions' extensions show when a journal is
	// flushed.
	Lags bool
	// CostDecimals is how many decimals of a record's cost are kept, 0 to 12.
	CostDecimals int
	// AccountCosts tells that figures of one account have costs. Without, these are 0.
	AccountCosts bool
	// KeyAccounts tells that there are figures of one key and one account. Without,
	// asking for them is InvalidQuery.
	KeyAccounts bool
	// Cells is the width that an edge of a range cannot divide: figures of a range
	// that does are InvalidQuery or approximate. 0 is none.
	Cells time.Duration
	// Zone is the one zone whose hours, days and months there are; figures of another
	// one are InvalidQuery or approximate. "" is any zone.
	Zone string
	// History is how long ago a record may have happened that figures of hours show; an
	// older one is missing, or InvalidQuery to record or to ask for. 0 is any time.
	History time.Duration
}

// Full is what PostgreSQL can do when everything is written through.
var Full = Capabilities{
	Transactions: strategy.DataTypes,
	Batches:      []strategy.DataType{strategy.APIKey, strategy.Session},
	Secrets:      true,
	CostDecimals: 12, AccountCosts: true, KeyAccounts: true,
}

func (c Capabilities) transacts(t strategy.DataType) bool { return slices.Contains(c.Transactions, t) }

func (c Capabilities) batches(t strategy.DataType) bool { return slices.Contains(c.Batches, t) }

// zone is one whose buckets there are.
func (c Capabilities) zone() string {
	if c.Zone == "" {
		return "Asia/Kathmandu" // UTC+5:45 divides hours
	}
	return c.Zone
}
