package strategy

import (
	"context"
	"errors"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Clock is the database's clock in microseconds since 1970, which a writer is
// asked for where Redis cannot be told (cache.Records.Evict). Where the database
// does not answer either, it guesses on the safe side: a minute is more than
// clocks differ. It is asked outside of any transaction.
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

// Down tells whether an error means that the primary does not answer, so that a
// cached record may go on.
func Down(err error) bool {
	switch result.From(err).Code {
	case result.ConnectionFailed, result.ConnectionTimeout, result.QueryTimeout, result.PoolExhausted:
		return true
	}
	return errors.Is(err, cache.ErrOverload)
}

// Overload gives cache.ErrOverload its code, PoolExhausted.
func Overload(err error) error {
	if errors.Is(err, cache.ErrOverload) {
		return result.PoolExhausted
	}
	return err
}
