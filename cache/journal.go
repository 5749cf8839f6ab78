package cache

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"github.com/sony/gobreaker/v2"
)

// DefaultJournalLimit is how many entries a journal holds: at 10,000 records a
// second, 100 s of an outage of PostgreSQL, in about 400 MB of Redis.
const DefaultJournalLimit = 1_000_000

// DefaultClaimAfter is how long a consumer may be silent before others take what
// it has read.
const DefaultClaimAfter = 30 * time.Second

// journalFailures in a row open the breaker: each costs its callers OpTimeout.
const journalFailures = 3

// JournalOptions configures a [Journal].
type JournalOptions struct {
	// URL and Tune are as in [Options]; Prefix starts the streams' names.
	URL    string
	Tune   func(*rueidis.ClientOption)
	Prefix string
	// Name tells the journals of one prefix apart.
	Name string
	// Replicas is how many replicas must have an entry before it is acknowledged.
	Replicas int
	// Limit bounds the entries in the journal; 0 is DefaultJournalLimit.
	Limit int
	// ClaimAfter is how long a consumer may be silent before others take what it
	// has read; 0 is DefaultClaimAfter.
	ClaimAfter time.Duration
	// Require makes an unreachable Redis an error of OpenJournal.
	Require bool
	// Beside tells that another journal warns of the same Redis.
	Beside bool
	// Logger takes one line a change of state.
	Logger *slog.Logger

	// Tests set what is a constant elsewhere; 0 is that constant.
	refusedLimit int
	goneAfter    time.Duration
}

// Journal is a Redis Stream of entries that are acknowledged now and flushed
// later, by a consumer of any process. An entry leaves it when the flush of it is
// committed. It is safe for concurrent use.
type Journal struct {
	opts            JournalOptions
	stream, refused string
	name            string // of this process's consumer
	option          rueidis.ClientOption
	client          atomic.Pointer[rueidis.Client]
	breaker         *gobreaker.CircuitBreaker[int]
	consumer        consumer
	close           sync.Once
	remaining       int64
}

// Errors of [Journal.Append].
var (
	// ErrJournalOff means that the journal surely has none of the entries.
	ErrJournalOff = errors.New("the journal is off")
	// ErrJournalUnsure means that the journal may have the entries: Redis did not
	// answer, or too few of its replicas have them.
	ErrJournalUnsure = errors.New("the journal did not acknowledge the entries")
)

// OpenJournal connects. Where Redis is not reachable and not required, it warns;
// [Journal.Start] goes on trying. It also warns where Redis may lose what it
// acknowledges, by eviction or for want of persistence.
func OpenJournal(ctx context.Context, opts JournalOptions) (*Journal, error) {
	opts.Limit = cmp.Or(opts.Limit, DefaultJournalLimit)
	opts.ClaimAfter = cmp.Or(opts.ClaimAfter, DefaultClaimAfter)
	opts.refusedLimit, opts.goneAfter = cmp.Or(opts.refusedLimit, refusedLimit), cmp.Or(opts.goneAfter, goneAfter)
	// One hash tag: a script names both streams.
	stream := opts.Prefix + "{journal}:" + opts.Name
	j := &Journal{opts: opts, stream: stream, refused: stream + ":refused", name: uuid.NewString()}
	j.consumer = newConsumer(j)
	j.breaker = j.newBreaker()
	var err error
	if j.option, err = j.clientOption(); err != nil {
		return nil, err
	}
	switch err = j.connect(ctx); {
	case err != nil && opts.Require:
		return nil, err
	case err != nil:
		j.consumer.failing = true
		if !opts.Beside {
			opts.Logger.Warn("relaystore: the journal's Redis is not reachable, what it would take is written through until it is")
		}
	}
	return j, nil
}

// clientOption is for connections of the journal's own: its blocking reads must
// not hold up the cache, which needs its one connection for order.
func (j *Journal) clientOption() (rueidis.ClientOption, error) {
	opt, err := parseURL(j.opts.URL)
	if err != nil {
		return opt, err
	}
	if j.opts.Tune != nil {
		j.opts.Tune(&opt)
	}
	opt.DisableCache, opt.ClientTrackingOptions, opt.OnInvalidations = true, nil, nil
	opt.PipelineMultiplex = -1
	opt.BlockingPoolSize = 8 // one blocking read, and appends that wait for replicas
	return opt, nil
}

func (j *Journal) connect(ctx context.Context) error {
	client, err := rueidis.NewClient(j.option)
	if err != nil {
		return err
	}
	if !j.client.CompareAndSwap(nil, &client) {
		client.Close()
		return nil
	}
	if !j.opts.Beside {
		j.warn(ctx, client)
	}
	return nil
}

func (j *Journal) newBreaker() *gobreaker.CircuitBreaker[int] {
	return gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Timeout:     breakerPause,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= journalFailures },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case from == gobreaker.StateClosed: // not again after each trial
				j.opts.Logger.Warn("relaystore: the journal takes nothing, all is written through until it does", slog.String("journal", j.opts.Name))
			case to == gobreaker.StateClosed:
				j.opts.Logger.Info("relaystore: the journal takes writes again", slog.String("journal", j.opts.Name))
			}
		},
	})
}

// do runs f against Redis within a limit.
func (j *Journal) do(ctx context.Context, limit time.Duration, f func(context.Context, rueidis.Client) error) error {
	client := j.client.Load()
	if client == nil {
		return ErrJournalOff
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx, *client)
}
