package cache

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newFreshness() (f *freshness, now time.Time) {
	now = time.Now()
	f = &freshness{base: now}
	f.clear()
	return f, now
}

// A heartbeat that was asked for before the connection was lost proves nothing of
// what came after.
func TestAProofOfBeforeALossIsVoid(t *testing.T) {
	t.Parallel()
	f, now := newFreshness()
	losses := f.lost()
	require.True(t, f.enter(7, losses))
	f.clear()
	f.set(now, losses)
	require.Greater(t, f.age(now), time.Duration(math.MaxInt64/4))
	require.False(t, f.enter(7, losses))
	require.Zero(t, f.epoch.Load())
	f.set(now, f.lost())
	require.Zero(t, f.age(now))
}

// Nor does it let go what the loss has set aside.
func TestAProofOfBeforeALossLetsNothingGo(t *testing.T) {
	t.Parallel()
	f, now := newFreshness()
	c := &Cache{kinds: make(map[string]invalidator), fresh: freshness{base: f.base}}
	records := &Records[string]{table: NewTable[string](1), unknown: NewTable[struct{}](1)}
	records.StaleIfError = time.Hour
	c.kinds["text"] = records
	key := keyOf(1)
	c.fresh.set(now, 0)
	records.table.Begin(&key).Store("one")
	c.lose()
	c.prove(now, 0, 1)
	require.Equal(t, "one", *records.table.Aside(&key))
	c.prove(now, c.fresh.lost(), 1)
	require.Nil(t, records.table.Aside(&key))
}

// A loss waits until a proof has let go what the loss before has set aside: what it sets
// aside itself stays.
func TestALossWaitsForAProof(t *testing.T) {
	t.Parallel()
	f, now := newFreshness()
	c := &Cache{kinds: make(map[string]invalidator), fresh: freshness{base: f.base}}
	c.fresh.clear()
	c.mu.Lock() // holds the proof up
	proven := make(chan struct{})
	go func() {
		defer close(proven)
		c.prove(now, c.fresh.lost(), 1)
	}()
	require.Eventually(t, func() bool { return c.fresh.age(now) == 0 }, time.Minute, time.Millisecond)
	free := c.losing.TryLock()
	c.mu.Unlock()
	<-proven
	require.False(t, free)
}

// Fetches a second apart, and what they prove.
func TestWhatHeartbeatsProve(t *testing.T) {
	t.Parallel()
	type fetch struct {
		beat, losses int64
		lag          time.Duration
		proves       int // the second up to which the process is fresh; -1 for none
	}
	const lag = 300 * time.Millisecond
	for name, fetches := range map[string][]fetch{
		"the first successor may have been held up": {{beat: 1, proves: -1}, {beat: 2, proves: -1}, {beat: 2, proves: -1}},
		"the second proves the fetch before the first": {
			{beat: 1, proves: -1}, {beat: 1, proves: -1}, {beat: 2, proves: -1}, {beat: 2, proves: -1}, {beat: 3, proves: 1}, {beat: 4, proves: 3},
		},
		"a change that waits holds it back":      {{beat: 1, proves: -1}, {beat: 2, proves: -1}, {beat: 3, lag: lag, proves: 0}},
		"a lost connection begins anew":          {{beat: 1, proves: -1}, {beat: 2, proves: -1}, {beat: 3, losses: 1, proves: -1}, {beat: 4, losses: 1, proves: -1}, {beat: 5, losses: 1, proves: 2}},
		"a heartbeat of before another is a new": {{beat: 5, proves: -1}, {beat: 6, proves: -1}, {beat: 4, proves: -1}, {beat: 5, proves: -1}, {beat: 6, proves: 2}},
	} {
		start, last := time.Now(), observation{}
		for i, f := range fetches {
			now := observation{Heartbeat: Heartbeat{Epoch: 1, Beat: f.beat, Lag: f.lag}, sent: start.Add(time.Duration(i) * time.Second), losses: f.losses}
			var since, want time.Time
			if last, since = last.then(now); f.proves >= 0 {
				want = start.Add(time.Duration(f.proves)*time.Second - f.lag)
			}
			require.Equal(t, want, since, "%s: fetch %d", name, i)
		}
	}
}
