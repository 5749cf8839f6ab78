package cache

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// Unknown stands for a figure that nobody could measure.
const Unknown = -1

// Health is what Redis says of itself, and how long it took to answer.
type Health struct {
	// Connected tells whether it answered.
	Connected bool
	// Latency is one round trip's, on the connection that the cache uses; without an
	// answer, how long that was waited for.
	Latency time.Duration
	// Used and Max are used_memory and maxmemory in bytes; Max is 0 for no bound. Both
	// are Unknown without an answer.
	Used, Max int64
	// Keeps is what Redis has on disk when it acknowledges: always (all of it),
	// everysec (up to the last second), no (as the system likes), snapshots, nothing,
	// or unknown. Policy is its maxmemory-policy, or unknown.
	Keeps, Policy string
	// Heartbeat is how old an answer from the cache may be now; negative where nothing
	// proves the process fresh.
	Heartbeat time.Duration
}

// Health asks Redis until ctx ends. It goes past the breaker: what is asked for is
// how Redis does now. A nil Cache is not connected.
func (c *Cache) Health(ctx context.Context) Health {
	h := Health{Used: Unknown, Max: Unknown, Keeps: unknown, Policy: unknown, Heartbeat: Unknown}
	if c == nil {
		return h
	}
	if c.fresh.mono.Load() != unproven {
		h.Heartbeat = max(c.Age(time.Now()), 0)
	}
	client := c.client.Load()
	if client == nil {
		return h
	}
	r, asked := *client, time.Now()
	err := r.Do(ctx, r.B().Ping().Build()).Error()
	h.Latency, h.Connected = time.Since(asked), err == nil
	if err == nil {
		h.Used, h.Max = memory(ctx, r)
		h.Keeps, h.Policy = durability(ctx, r)
	}
	return h
}

// memory reads INFO's figures.
func memory(ctx context.Context, r rueidis.Client) (used, bound int64) {
	info, err := r.Do(ctx, r.B().Info().Section("memory").Build()).ToString()
	if err != nil {
		return Unknown, Unknown
	}
	return figure(info, "used_memory"), figure(info, "maxmemory")
}

func figure(info, name string) int64 {
	n, err := strconv.ParseInt(infoField(info, name), 10, 64)
	if err != nil {
		return Unknown
	}
	return n
}
