package repotest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// patience is how long what must happen may take on a loaded machine.
	patience = time.Minute
	// modelTime bounds each comparison with a model; what rapid would check beyond it
	// is left out.
	modelTime = time.Second
)

// Run checks a client against caps. open gives another client of one and the same
// store at each call, as another process would, and closes it after the test. The
// store may hold other data; the suite leaves its own behind, and cleans up what has
// ended or is older than 90 days.
func Run(t *testing.T, open func(*testing.T) *repo.Client, caps Capabilities) {
	s := &suite{caps: caps, one: open(t), two: open(t)}
	for _, part := range []struct {
		name  string
		tests []test
	}{
		{"apikey", keyTests}, {"account", ofAccounts(caps)}, {"session", sessionTests},
		{"usage", usageTests}, {"transactions", transactionTests},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range part.tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(&bundle{T: t, suite: s})
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(*bundle)
}

// suite is two clients of one store.
type suite struct {
	caps     Capabilities
	one, two *repo.Client
}

// bundle is the suite as a test of it has it.
type bundle struct {
	*testing.T
	*suite
}

func (b *bundle) ctx() context.Context { return b.Context() }

func (b *bundle) clients() []*repo.Client { return []*repo.Client{b.one, b.two} }

// eventually waits for what another process hears of, or for a clock.
func (b *bundle) eventually(condition func() bool, what string) {
	b.Helper()
	require.Eventually(b, condition, patience, time.Millisecond, what)
}

// sees checks what the caller has just written, or waits for it where that lags.
func (b *bundle) sees(condition func() bool, what string) {
	b.Helper()
	if b.caps.Lags {
		b.eventually(condition, what)
		return
	}
	require.True(b, condition(), what)
}

// flushed waits for the journal of what lags.
func (b *bundle) flushed() {
	b.Helper()
	if b.caps.Lags {
		b.eventually(func() bool {
			h, err := b.one.Storage.GetStorageHealth(b.ctx())
			return err == nil && h.Redis.Touches.Length == 0
		}, "the journal is flushed")
	}
}

// refused checks the code of an error, and the field that it names.
func (b *bundle) refused(err error, code result.Code, field string) {
	b.Helper()
	require.ErrorIs(b, err, code)
	require.Equal(b, field, result.From(err).Field(), "%v", err)
}

// get gives the data of a call that must succeed.
func get[T any](t require.TestingT, r result.Result[T]) T {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	data, err := r.Get()
	require.NoError(t, err)
	return data
}

// failures counts the calls with a code and requires that others succeeded.
func (b *bundle) failures(errs []error, code result.Code) (n int) {
	b.Helper()
	for _, err := range errs {
		if err != nil {
			require.ErrorIs(b, err, code)
			n++
		}
	}
	return n
}

// together runs n calls at once, spread over both clients.
func (b *bundle) together(n int, f func(c *repo.Client, i int) error) []error {
	b.Helper()
	errs := make([]error, n)
	done := make(chan struct{})
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			errs[i] = f(b.clients()[i%2], i)
		}()
	}
	for range n {
		<-done
	}
	return errs
}
