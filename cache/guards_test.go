package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// A write between a load and its fill of Redis, whose tombstone a full Redis has
// evicted: only the ticket tells that the record is old.
func TestTheTicketGuardsTheFill(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"written": "", "not written": "old"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := b.process()
			fill := p.records.Filling(key, "old")
			if name == "written" {
				b.evict(p, key)
				b.drop(key)
			}
			require.NoError(t, fill(t.Context()))
			require.Equal(t, want, b.stored(key))
		})
	}
}

// A drainer is held up behind its tell for longer than the tombstone stands, and
// its process fills Redis with what it had loaded before the change. Redis does not
// push to the one who tells: the process forgets before it tells.
func TestATellThatIsHeldUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, other := b.process(), b.process()
	b.primary.secretly(key, "old")
	fill, held := p.records.Filling(key, "old"), false
	b.primary.secretly(key, "new")
	p.Intercept(kind, func() {
		if b.raw(key) == "t" { // it has told, and is held up until that expires
			held = true
			b.drop(key)
			require.NoError(t, fill(t.Context()))
		}
	})
	require.NoError(t, p.Tell(t.Context(), kind, []cache.Key{key}))
	require.True(t, held)
	require.Equal(t, "new", b.get(other, key))
	require.Equal(t, "new", b.get(p, key))
}

// Redis answers, and before its answer is kept the connection is lost: the answer
// may be of a Redis that has lost writes, and the primary's counts.
func TestAnAnswerOfRedisNeedsItsTicket(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.process()
	b.primary.secretly(key, "old")
	b.filled(other, key, "old")
	var p *process
	b.source.Decode = func(record []byte) (*string, error) {
		p.Push("")
		text := string(record)
		return &text, nil
	}
	p = b.process()
	b.primary.secretly(key, "new")
	require.Equal(t, "new", b.get(p, key))
}

// A new epoch says that Redis has lost tells: what the process itself holds may be
// old, too. Its connection is not lost here, which would flush as well.
func TestANewEpochFlushesTheProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	b.primary.secretly(key, "old")
	b.primary.remove(cache.KeyOf(2))
	b.cached(p, key, "old")
	b.cached(p, cache.KeyOf(2), "")
	for _, k := range []cache.Key{key, cache.KeyOf(2)} {
		b.primary.secretly(k, "new")
	}
	require.Equal(t, "old", b.get(p, key), "nobody has told it")

	epoch := p.Epoch()
	wake := b.drainer.rest()
	b.drainer.last.Epoch = 0 // the drainer then opens one
	wake()
	b.becomes(func() bool { return p.Epoch() > epoch && p.Fresh(time.Now()) })
	require.Equal(t, "new", b.get(p, key))
	require.Equal(t, "new", b.get(p, cache.KeyOf(2)))
}

// A load that hangs for long has read what was true when it began; who comes after
// half of MaxStaleness begins one of his own, though nobody has told of a change.
func TestOldLoadsAreNotJoined(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.options.MaxStaleness = 20 * time.Millisecond
	p := b.open(b.url)
	b.primary.secretly(key, "old")
	finish := b.hold(p, key)
	b.primary.secretly(key, "new")
	b.becomes(func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		text, err := p.records.Get(ctx, &key, time.Now())
		return err == nil && text != nil && *text == "new"
	})
	require.Equal(t, "old", finish())
}
