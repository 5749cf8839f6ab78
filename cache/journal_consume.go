package cache

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// A consumer that fails tries again after these. The longest is far below
	// ClaimAfter: what it holds is not claimed from it meanwhile.
	shortestPause = 50 * time.Millisecond
	longestPause  = 2 * time.Second
	// refusedQuiet is how long no entry is refused before the next one is logged
	// again.
	refusedQuiet = time.Minute
)

// Flush commits entries and tells of each what became of it: nil for a committed
// one, a *[RefusedError] for one that never can be, any other error (whose text may
// be logged) for one that is to be flushed again. It may get an entry again that it
// has committed.
type Flush func(entries []string) []error

// RefusedError is why an entry cannot be flushed.
type RefusedError struct{ Reason string }

// Error gives the reason.
func (r *RefusedError) Error() string { return r.Reason }

// consumer flushes entries. All but its channels is its goroutine's own.
type consumer struct {
	*Journal

	flush     Flush
	unsure    bool // it may have read entries that it has not settled
	cursor    string
	nextClaim time.Time
	failing   bool
	refusedAt time.Time

	background context.Context // ends when Close stops waiting
	stop       context.CancelFunc
	closing    chan struct{}
	patient    bool // set before closing is closed: Close has a deadline
	drained    bool // read after done is closed
	done       chan struct{}
}

func newConsumer(j *Journal) consumer {
	c := consumer{Journal: j, cursor: firstCursor, closing: make(chan struct{}), done: make(chan struct{})}
	c.background, c.stop = context.WithCancel(context.Background())
	return c
}

// Start flushes entries in the background until Close.
func (j *Journal) Start(flush Flush) {
	j.consumer.flush = flush
	go j.consumer.run()
}

func (c *consumer) run() {
	defer close(c.done)
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = shortestPause, longestPause
	for c.background.Err() == nil {
		n, err := c.round()
		c.report(err)
		switch {
		case err == nil && n == 0 && c.ending():
			c.drained = true
			return
		case err == nil:
			delays.Reset()
		case c.ending() && (!c.patient || c.client.Load() == nil):
			return
		default:
			c.pause(delays.NextBackOff())
		}
	}
}

func (c *consumer) ending() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// pause ends early when Close begins.
func (c *consumer) pause(d time.Duration) {
	closing := c.closing
	if c.ending() {
		closing = nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-closing:
	case <-c.background.Done():
	}
}

// round flushes what there is and gives how many entries that was.
func (c *consumer) round() (int, error) {
	entries, err := c.next()
	if err == nil && len(entries) > 0 {
		data := make([]string, len(entries))
		for i, e := range entries {
			data[i] = e.data
		}
		err = c.conclude(entries, c.flush(data))
	}
	if err != nil {
		c.unsure = true // a reply that did not arrive may have been about entries
	}
	return len(entries), err
}

// conclude settles flushed and refused entries; the others stay its own.
func (c *consumer) conclude(entries []readEntry, outcomes []error) error {
	var flushed []string
	var refused [][2]string
	var kept error
	for i, err := range outcomes {
		var refusal *RefusedError
		switch {
		case err == nil:
			flushed = append(flushed, entries[i].id)
		case errors.As(err, &refusal):
			refused = append(refused, [2]string{entries[i].id, refusal.Reason})
		default:
			kept = flushError{err}
		}
	}
	if len(flushed)+len(refused) == 0 {
		return kept
	}
	left, err := c.settle(context.WithoutCancel(c.background), flushed, refused)
	switch {
	case err != nil:
		return err
	case int64(len(refused)) > left:
		c.reportRefused(refused[0][1])
	}
	if left > 0 {
		return flushError{errRefusedFull}
	}
	return kept
}

var errRefusedFull = errors.New("the stream of refused entries is full")
