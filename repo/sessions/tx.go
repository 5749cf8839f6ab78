package sessions

import "github.com/seed14a526e0/relaystore/strategy"

// InTx gives the Repo as it is inside a transaction: nothing is answered from the
// cache or put into it, and what caches must forget waits for the commit.
func (r *Repo) InTx(primary *strategy.Postgres) *Repo {
	in := &Repo{Config: r.Config, queries: r.queries, records: r.records, uncached: r.uncached, now: r.now}
	in.Primary = primary
	return in
}
