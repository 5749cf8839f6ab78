package cache

import "time"

// Policy is how the records of a kind are cached. It may change while calls run.
type Policy struct {
	// Off makes each call read the primary. Writers go on telling Redis and the other
	// processes, which may still have the cache on.
	Off bool
	// PrimaryFirst makes each call read the primary, and fill the process's own table;
	// where the primary is down, that answers for MaxStaleness, or StaleIfError where
	// that is longer, since the last proof of freshness.
	PrimaryFirst bool
	// TTL is how long Redis keeps a record that is filled from now on; 0 is DefaultTTL.
	TTL time.Duration
}

// Follow makes a kind's records follow a policy. A nil Cache has none to follow.
func (c *Cache) Follow(kind string, p Policy) {
	if c == nil {
		return
	}
	c.mu.RLock()
	records := c.kinds[kind]
	c.mu.RUnlock()
	if records != nil {
		records.follow(p)
	}
}

// follow empties the table of a cache that goes off, so that hits need not ask whether
// it is: a fill takes its ticket before it looks whether the cache is off, so one that
// does not see it stores into the table of before.
func (r *Records[V]) follow(p Policy) {
	if p.TTL <= 0 {
		p.TTL = DefaultTTL
	}
	r.ttl.Store(p.TTL.Milliseconds())
	r.off.Store(p.Off)
	r.primaryFirst.Store(p.PrimaryFirst)
	if p.Off {
		r.flush(false)
		r.dropAside()
	}
}
