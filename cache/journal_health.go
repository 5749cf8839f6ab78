package cache

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"github.com/sony/gobreaker/v2"
)

// healthTimeout bounds a look at the journal beside a figure.
const healthTimeout = 100 * time.Millisecond

// What a Redis keeps when it dies, as [JournalHealth] and the log say it. With an
// append-only file it is the value of appendfsync: always, everysec or no.
const (
	keepsSnapshots = "snapshots"
	keepsNothing   = "nothing"
	unknown        = "unknown"
)

// JournalHealth says how a journal does and what a death of its Redis may cost.
type JournalHealth struct {
	// Appending tells whether entries are taken.
	Appending bool
	// Unflushed are entries that are acknowledged and not committed, Oldest is the
	// age of the first. Refused are those that were put aside.
	Unflushed, Refused int64
	Oldest             time.Duration
	// Keeps is what Redis has on disk when it acknowledges: always (all of it),
	// everysec (up to the last second), no (as the system likes), snapshots,
	// nothing, or unknown. Policy is its maxmemory-policy, or unknown: a journal
	// needs noeviction.
	Keeps, Policy string
	// Replicas is how many replicas must have an entry before it is acknowledged.
	Replicas int
}

// ageScript gives the age of the first entry in ms, -1 without one. What is
// flushed is deleted, so the first entry is the oldest that is not.
var ageScript = rueidis.NewLuaScriptReadOnly(`
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first then
	return -1
end
local now = redis.call('TIME')
return math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - string.match(first[1], '^%d+'))`)

// Oldest gives the age of the oldest entry that is not flushed, a negative one
// when all are. It takes 100 ms at most.
func (j *Journal) Oldest(ctx context.Context) (age time.Duration, err error) {
	if j.breaker.State() == gobreaker.StateOpen {
		return 0, ErrJournalOff
	}
	err = j.do(ctx, healthTimeout, func(ctx context.Context, r rueidis.Client) error {
		ms, err := ageScript.Exec(ctx, r, []string{j.stream}, nil).AsInt64()
		age = time.Duration(ms) * time.Millisecond
		return err
	})
	return age, err
}

// Last gives the id of the newest entry, "" without one.
func (j *Journal) Last(ctx context.Context) (id string, err error) {
	err = j.do(ctx, healthTimeout, func(ctx context.Context, r rueidis.Client) error {
		last, err := r.Do(ctx, r.B().Xrevrange().Key(j.stream).End("+").Start("-").Count(1).Build()).AsXRange()
		if len(last) > 0 {
			id = last[0].ID
		}
		return err
	})
	return id, err
}

// FlushedTo tells whether all entries up to an id are flushed.
func (j *Journal) FlushedTo(ctx context.Context, id string) (yes bool, err error) {
	if id == "" {
		return true, nil
	}
	err = j.do(ctx, healthTimeout, func(ctx context.Context, r rueidis.Client) error {
		left, err := r.Do(ctx, r.B().Xrange().Key(j.stream).Start("-").End(id).Count(1).Build()).AsXRange()
		yes = err == nil && len(left) == 0
		return err
	})
	return yes, err
}

// Health asks Redis. An error means that it does not answer.
func (j *Journal) Health(ctx context.Context) (h JournalHealth, err error) {
	h.Replicas, h.Keeps, h.Policy = j.opts.Replicas, unknown, unknown
	if h.Oldest, err = j.Oldest(ctx); err != nil {
		return h, err
	}
	h.Appending, h.Oldest = j.breaker.State() == gobreaker.StateClosed, max(0, h.Oldest)
	err = j.do(ctx, readTimeout, func(ctx context.Context, r rueidis.Client) (err error) {
		if h.Unflushed, err = r.Do(ctx, r.B().Xlen().Key(j.stream).Build()).AsInt64(); err != nil {
			return err
		}
		h.Refused, err = r.Do(ctx, r.B().Xlen().Key(j.refused).Build()).AsInt64()
		h.Keeps, h.Policy = durability(ctx, r)
		return err
	})
	return h, err
}

// count is how many entries are in the journal, -1 when Redis does not tell.
func (j *Journal) count(ctx context.Context) (n int64) {
	err := j.do(ctx, readTimeout, func(ctx context.Context, r rueidis.Client) (err error) {
		n, err = r.Do(ctx, r.B().Xlen().Key(j.stream).Build()).AsInt64()
		return err
	})
	if err != nil {
		return -1
	}
	return n
}

// warn tells of a Redis that may lose what it acknowledges.
func (j *Journal) warn(ctx context.Context, r rueidis.Client) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	keeps, policy := durability(ctx, r)
	attrs := []any{slog.String("keeps", keeps), slog.String("maxmemory-policy", policy)}
	switch {
	case keeps == keepsNothing, policy != unknown && policy != "noeviction":
		j.opts.Logger.Warn("relaystore: the journal's Redis may lose acknowledged usage", attrs...)
	case keeps == unknown, policy == unknown:
		j.opts.Logger.Warn("relaystore: the journal's Redis does not tell whether it may lose acknowledged usage", attrs...)
	}
}

// durability asks for the settings, and where a managed server forbids that, for
// what INFO tells of them.
func durability(ctx context.Context, r rueidis.Client) (keeps, policy string) {
	keeps, policy = unknown, unknown
	set, err := r.Do(ctx, r.B().ConfigGet().Parameter("maxmemory-policy", "appendonly", "appendfsync", "save").Build()).AsStrMap()
	if err == nil && len(set) == 4 {
		policy = set["maxmemory-policy"]
		switch {
		case set["appendonly"] == "yes":
			keeps = set["appendfsync"]
		case set["save"] != "":
			keeps = keepsSnapshots
		default:
			keeps = keepsNothing
		}
		return keeps, policy
	}
	info, err := r.Do(ctx, r.B().Info().Section("memory").Build()).ToString()
	if err == nil {
		for line := range strings.Lines(info) {
			if value, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
				policy = strings.TrimSpace(value)
			}
		}
	}
	return keeps, policy
}
