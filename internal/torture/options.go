package torture

import (
	"time"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Bounds of Options.
const (
	MaxGateways = 16
	MaxCallers  = 1_000
)

const (
	keys = 16
	// quickly is how much shorter the times of a quick run are, quickTimeout how long
	// it tries to see everything.
	quickly      = 8
	quickTimeout = 5 * time.Minute
)

// Options of [Run].
type Options struct {
	// Duration and Kills bound the violence, whichever comes first; 0 is no bound.
	Duration time.Duration
	Kills    int
	// Gateways record at the same time, each with so many Callers.
	Gateways, Callers int
	// UsageWrites is a strategy of repo.Config; "" is its default.
	UsageWrites string
	// Seed draws the faults.
	Seed uint64
	// Quick, for tests, hurries until every kind of fault has happened and duplicates
	// have been met on both paths.
	Quick bool
	// Progress, if set, hears now and then how many kills there were after what time.
	Progress func(kills int, after time.Duration)
}

// Check names the field that is out of its bounds.
func (o Options) Check() error {
	switch {
	case o.Gateways < 2 || o.Gateways > MaxGateways:
		return result.Invalid("gateways", "must lie between 2 and %d", MaxGateways)
	case o.Callers < 1 || o.Callers > MaxCallers:
		return result.Invalid("callers", "must lie between 1 and %d", MaxCallers)
	case o.UsageWrites != "" && o.UsageWrites != repo.WriteThrough && o.UsageWrites != repo.WriteBehind:
		return result.Invalid("usage-writes", "must be %s or %s", repo.WriteThrough, repo.WriteBehind)
	case o.Duration < 0:
		return result.Invalid("duration", "must not be negative")
	case o.Kills < 0:
		return result.Invalid("kills", "must not be negative")
	}
	return nil
}
