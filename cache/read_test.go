package cache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

func TestMissFillHit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.process(), b.process()
	b.primary.set(key, "one")
	b.settled(key)
	b.filled(first, key, "one")
	ttl, err := b.redis.Do(t.Context(), b.redis.B().Pttl().Key(first.Name(kind, key)).Build()).AsInt64()
	require.NoError(t, err)
	require.Positive(t, ttl)

	b.primary.secretly(key, "two")
	require.Equal(t, "one", b.get(first, key))
	require.Equal(t, "one", b.get(second, key), "Redis has it")
	require.Empty(t, b.get(second, cache.KeyOf(2)))
}

// A first miss keeps what it loaded: the lease it took is no change.
func TestOneMissIsEnough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, other := b.process(), b.process()
	b.primary.set(key, "one")
	b.settled(key)
	for range 2 { // pushes of the change itself may still be on their way
		b.get(p, cache.KeyOf(2))
	}
	b.cached(other, key, "one")
	b.cached(p, key, "one")
	fresh := cache.KeyOf(3)
	b.primary.secretly(fresh, "x")
	require.True(t, b.loaded(p, fresh))
	require.False(t, b.loaded(p, fresh))
	require.False(t, b.loaded(p, key), "others' fills take nothing away")
}

func TestEmptyRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	b.primary.secretly(key, "")
	text, err := p.records.Get(t.Context(), &key, time.Now())
	require.NoError(t, err)
	require.NotNil(t, text)
	require.Empty(t, *text)
	b.primary.secretly(key, "two")
	require.Empty(t, b.get(p, key))
}

// A hit asks nobody.
func TestHitNeedsNoNetwork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.proxied()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	b.proxy.Stall()
	reads := b.primary.reads.Load()
	for range 100 {
		require.Equal(t, "one", b.get(p, key))
	}
	if p.Fresh(time.Now()) { // a slow machine may have noticed the stall by now
		require.Equal(t, reads, b.primary.reads.Load())
	}
}

func TestLoadErrorsAreNotCached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	failed := errors.New("failed")
	b.primary.secretly(key, "one")
	b.primary.fail(failed)
	for range 3 {
		text, err := p.records.Get(t.Context(), &key, time.Now())
		require.Equal(t, failed, err)
		require.Nil(t, text)
	}
	b.primary.fail(nil)
	require.Equal(t, "one", b.get(p, key))
}

// While one process loads, another does not wait for it, and Redis is filled.
func TestTwoProcessesLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slow, other := b.process(), b.process()
	b.primary.secretly(key, "one")
	fill := b.hold(slow, key)
	b.filled(other, key, "one")
	require.Equal(t, "one", fill())
	require.Equal(t, "one", b.stored(key))
}

// hold begins a read whose load has its answer and waits until result is called.
func (b *bundle) hold(p *process, key cache.Key) (result func() string) {
	b.t.Helper()
	h, done := b.primary.holdNext(key), make(chan string, 1)
	go func() {
		text, err := p.records.Get(context.WithoutCancel(b.t.Context()), &key, time.Now())
		switch {
		case err != nil:
			done <- err.Error()
		case text == nil:
			done <- ""
		default:
			done <- *text
		}
	}()
	<-h.reading
	return func() string { close(h.finish); return <-done }
}

// A key of a wrong type, or a record of another version, hurts itself only.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.source.Decode = func(text []byte) (*string, error) {
		if string(text) == "?" {
			return nil, errors.New("not of this version")
		}
		s := string(text)
		return &s, nil
	}
	p := b.process()
	list, strange := cache.KeyOf(2), cache.KeyOf(3)
	require.NoError(t, b.redis.Do(t.Context(), b.redis.B().Lpush().Key(p.Name(kind, list)).Element("x").Build()).Error())
	lease, err := p.TakeLease(t.Context(), b.redis, kind, strange, p.Epoch())
	require.NoError(t, err)
	require.NoError(t, lease.Fill(t.Context(), b.redis, "?"))
	for _, k := range []cache.Key{key, list, strange} {
		b.primary.secretly(k, "one")
		for range 20 {
			require.Equal(t, "one", b.get(p, k))
		}
	}
	require.Empty(t, p.log.texts())
	b.write(p, list, "two") // mends it
	b.cached(b.process(), list, "two")
}

func TestWithoutCache(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := &process{records: cache.NewRecords(nil, b.source)}
	b.primary.secretly(key, "one")
	require.Equal(t, "one", b.get(p, key))
	b.primary.secretly(key, "two")
	require.Equal(t, "two", b.get(p, key))
	b.evict(p, key)
	require.False(t, p.Fresh(time.Now()))
}

// Callers who leave say nothing about Redis, and spoil nothing for others.
func TestCancelledCallers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	b.primary.secretly(key, "one")
	for n := range 20 {
		k := cache.KeyOf(10 + n)
		h := b.primary.holdNext(k)
		_, err := p.records.Get(gone, &k, time.Now())
		require.ErrorIs(t, err, context.Canceled)
		close(h.finish)
	}
	b.cached(p, key, "one")
	require.Empty(t, p.log.texts())
}
