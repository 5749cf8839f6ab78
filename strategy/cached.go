package strategy

import (
	"context"
	"errors"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Down tells whether an error of a read means that the primary is down, so that
// what is cached may go on for a while. A pool that had no connection to give for a
// whole OpTimeout counts, since a server that hangs looks like that; a miss without a
// turn ([cache.ErrOverload]) does not: strangers could bring that about.
func Down(err error) bool {
	switch result.From(err).Code {
	case result.ConnectionFailed, result.ConnectionTimeout, result.QueryTimeout, result.PoolExhausted:
		return true
	}
	return false
}

// Overload gives a miss that found no turn at the primary its code.
func Overload(err error) error {
	if errors.Is(err, cache.ErrOverload) {
		return result.PoolExhausted
	}
	return err
}

// Clock is the database's clock in microseconds, for cache.Records.Evict, which
// asks where Redis cannot be told. Where the database does not answer either, it
// guesses on the safe side: a minute is more than clocks differ. It is asked outside of
// any transaction.
func (p *Postgres) Clock(ctx context.Context) int64 {
	var now time.Time
	err := p.Outside().Retrying(0).Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		now, err = db.New().DatabaseClock(ctx, c)
		return err
	})
	if err != nil {
		now = time.Now().Add(time.Minute)
	}
	return now.UnixMicro()
}
