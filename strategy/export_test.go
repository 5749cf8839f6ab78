package strategy

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// TellAll drains once, without the background work.
func (o *Outbox) TellAll(ctx context.Context) error {
	o.batch = drainRows
	return o.tellAll(ctx)
}

// Every sets how often the drainer looks by itself.
func (o *Outbox) Every(d time.Duration) { o.every = d }

// Lease sets how long a move outlives its process, and how often that says it is there.
func (s *Switches) Lease(d, renewEvery time.Duration) { s.lease, s.renewEvery = d, renewEvery }

// Drop forgets the connection, and makes the next one by connect.
func (r *Redis) Drop(connect func() (rueidis.Client, error)) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	r.Connect, r.conn.client = connect, nil
	r.conn.sound.Store(nil)
}
