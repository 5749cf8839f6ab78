package movetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// Models: the records of one have requestIds, and are sent again until they are
// acknowledged; those of the other have none.
const (
	identified = "identified"
	plain      = "plain"
)

// usageLoad names a record by its requestId, and by something else where it has none. Its
// state is the cell that it counts in: key/model/day. Only the first busy keys are written
// after the beginning.
type usageLoad struct {
	*repo.Client

	since time.Time // noon of the first of days days
	keys  []string
	mu    sync.Mutex
	done  []usage.Record // those that were acknowledged, by this process
}

const (
	zone = "Asia/Shanghai" // the layout's offset
	days = 2
	busy = 4
)

// usageGiven is what all processes are given.
func usageGiven(keys []string) string {
	noon := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days).Add(4 * time.Hour)
	return strconv.FormatInt(noon.Unix(), 10) + " " + strings.Join(keys, " ")
}

func newUsage(c *repo.Client, given string) load {
	words := strings.Fields(given)
	since, _ := strconv.ParseInt(words[0], 10, 64) // usageGiven's
	return &usageLoad{Client: c, since: time.Unix(since, 0).UTC(), keys: words[1:]}
}

type cell struct {
	key, model string
	day        int
}

func (c cell) String() string { return fmt.Sprintf("%s/%s/%d", c.key, c.model, c.day) }

// record is one of a cell: all of them say the same. The layout has the cost of a model in
// whole millionths of a dollar.
func (l *usageLoad) record(c cell, requestID string) usage.Record {
	return usage.Record{
		APIKeyID: c.key, AccountID: l.keys[len(l.keys)-1], AccountType: "claude", Model: c.model, RequestID: requestID,
		InputTokens: 10, OutputTokens: 20, CacheCreationTokens: 3, CacheReadTokens: 4, TotalTokens: 37, RequestCount: 1,
		Cost: result.NewMoney(decimal.New(1234, -6)), Timestamp: l.since.AddDate(0, 0, c.day),
	}
}

func (l *usageLoad) story(i int) (string, []step) {
	c := cell{l.keys[i%len(l.keys)], identified, i / 2 % days}
	if i >= len(l.keys) {
		c.key = l.keys[i%busy]
	}
	id := uuid.NewString()
	requestID := id
	if i%3 == 0 {
		c.model, requestID = plain, ""
	}
	r := l.record(c, requestID)
	return id, []step{{c.String(), func(ctx context.Context) (string, error) {
		if err := l.repeat(ctx); err != nil {
			return "", err
		}
		err := l.Usage.RecordUsage(ctx, r).Err()
		for ; err != nil && requestID != "" && ctx.Err() == nil; err = l.Usage.RecordUsage(ctx, r).Err() {
		}
		if err == nil && requestID != "" {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.done = append(l.done, r)
		}
		return "", err
	}}}
}

// repeat sends one again that was acknowledged earlier, perhaps before a move.
func (l *usageLoad) repeat(ctx context.Context) error {
	l.mu.Lock()
	done := l.done
	l.mu.Unlock()
	if len(done) == 0 {
		return nil
	}
	r := done[rand.IntN(len(done))] //nolint:gosec // a test's draw
	if s := l.Usage.RecordUsage(ctx, r); s.Err() == nil && !s.Duplicate {
		return errors.New("counted twice: " + r.RequestID)
	}
	return nil
}

// wrong compares the figures of each key, model and day, before and after each requestId
// is found to be known.
func (l *usageLoad) wrong(ctx context.Context, b *book) (wrong []string, err error) {
	least, most := make(map[string]int64), make(map[string]int64)
	var repeats []usage.Record
	for record, e := range b.records {
		switch {
		case e.state == gone: // the answer is lost, or it was refused
			most[e.open]++
			continue
		case strings.Contains(e.state, identified):
			repeats = append(repeats, l.record(cellOf(e.state), record))
		}
		least[e.state]++
		most[e.state]++
	}
	for range 2 {
		for _, key := range l.keys {
			more, err := l.wrongOf(ctx, key, least, most)
			if wrong = append(wrong, more...); err != nil {
				return nil, err
			}
		}
		for _, s := range l.Usage.RecordUsageBatch(ctx, repeats) {
			if s.Err() != nil || !s.Duplicate {
				wrong = append(wrong, fmt.Sprintf("a repeat is no duplicate: %v", s.Err()))
			}
		}
	}
	return wrong, nil
}

func cellOf(state string) cell {
	parts := strings.Split(state, "/")
	day, _ := strconv.Atoi(parts[2])
	return cell{parts[0], parts[1], day}
}

func (l *usageLoad) wrongOf(ctx context.Context, key string, least, most map[string]int64) (wrong []string, err error) {
	from := l.since.Add(-12 * time.Hour)
	s, err := l.Usage.GetUsageStats(ctx, usage.StatsQuery{
		APIKeyID: key, StartDate: from, EndDate: from.AddDate(0, 0, days), Granularity: usage.Day, TimeZone: zone,
	}).Get()
	if err != nil {
		return nil, err
	}
	for day, bucket := range s.Stats {
		for _, model := range []string{identified, plain} {
			c, got := cell{key, model, day}, bucket.Models[model]
			id := c.String()
			if n := got.Requests; n < least[id] || n > most[id] || !l.isOf(got, n) {
				wrong = append(wrong, fmt.Sprintf("%s has %+v: not %d to %d records", c, got, least[id], most[id]))
			}
		}
	}
	return wrong, nil
}

// isOf tells whether figures are those of n records.
func (l *usageLoad) isOf(f usage.Figures, n int64) bool {
	r := l.record(cell{}, "")
	cost := r.Cost.Decimal().Mul(decimal.NewFromInt(n))
	return f.InputTokens == n*r.InputTokens && f.OutputTokens == n*r.OutputTokens && f.TotalTokens == n*r.TotalTokens &&
		f.CacheCreationTokens == n*r.CacheCreationTokens && f.CacheReadTokens == n*r.CacheReadTokens && f.Cost.Decimal().Equal(cost)
}
