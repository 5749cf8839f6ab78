package movetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// roleVar is what a process does: roleWrite, or move to the primary that it names.
	roleVar   = "RELAYSTORE_TEST_MOVE_ROLE"
	typeVar   = "RELAYSTORE_TEST_MOVE_TYPE"
	holdVar   = "RELAYSTORE_TEST_MOVE_HOLD"
	givenVar  = "RELAYSTORE_TEST_MOVE_GIVEN"
	roleWrite = "write"

	// hands is how many goroutines of a process write, each a step in pace.
	hands = 2
	pace  = 40 * time.Millisecond
	// patience is how long a writer waits for a move to end.
	patience = time.Minute
)

// Play does what the environment says where it makes this process a child, and ends it.
func Play() {
	role := os.Getenv(roleVar)
	if role == "" {
		return
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(role string) error {
	ctx := context.Background()
	cfg, err := repo.ConfigFromEnv()
	if err != nil {
		return err
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	client, err := repo.Open(ctx, cfg)
	if err != nil {
		return err
	}
	dataType := strategy.DataType(os.Getenv(typeVar))
	if role != roleWrite {
		return move(ctx, client, dataType, strategy.Primary(role))
	}
	l := loads[dataType](client, os.Getenv(givenVar))
	var mu sync.Mutex
	w := &writer{load: l, say: func(words ...string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(strings.Join(words, " "))
	}}
	w.untilTold(ctx)
	return client.Close(ctx)
}

// move stops for ever at the step that holdVar names.
func move(ctx context.Context, c *repo.Client, t strategy.DataType, to strategy.Primary) error {
	for {
		err := c.Storage.SwitchPrimary(ctx, t, configOn(to, t), func(p strategy.Progress) {
			if stepOf(p) == os.Getenv(holdVar) {
				fmt.Println("holds")
				select {}
			}
		}).Err()
		if err == nil || !again(err) {
			return err
		}
	}
}

// again is of a machine so busy that a move lost its lease, or that a stopped process's
// transaction ended too late.
func again(err error) bool {
	return errors.Is(err, result.TransactionConflict) || errors.Is(err, result.QueryTimeout)
}

// writer tells of each step before and after.
type writer struct {
	load

	say func(words ...string)
}

// untilTold writes until its input ends.
func (w *writer) untilTold(ctx context.Context) {
	var told atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		told.Store(true)
	}()
	var working sync.WaitGroup
	for range hands {
		working.Go(func() {
			turn := time.NewTicker(pace)
			defer turn.Stop()
			for i := rand.IntN(1000); !told.Load(); i++ { //nolint:gosec // a test's draw
				record, steps := w.story(i)
				w.take(ctx, record, steps, turn.C)
			}
		})
	}
	working.Wait()
}

// take takes the steps of one record in turn, up to one that fails.
func (w *writer) take(ctx context.Context, record string, steps []step, turn <-chan time.Time) {
	for _, s := range steps {
		<-turn
		w.say(tries, record, s.state)
		calling, cancel := context.WithTimeout(ctx, patience)
		handle, err := s.do(calling)
		cancel()
		if err != nil {
			what := refused
			if result.From(err).Details["outcomeUnknown"] == true {
				what = lost
			}
			w.say(what, record, s.state, err.Error())
			return
		}
		w.say(acked, record, s.state, handle)
	}
}

// process is a child.
type process struct {
	*exec.Cmd

	in      io.Closer
	said    sync.WaitGroup
	acks    atomic.Int64
	holding atomic.Bool
	ended   atomic.Bool
	errs    strings.Builder
}

// start makes a process that takes note of what it says in the book.
func (r *run) start(role, hold string) *process {
	r.Helper()
	self, err := os.Executable()
	require.NoError(r, err)
	p := &process{Cmd: exec.Command(self)} //nolint:gosec // the test itself
	p.Env = append(append(os.Environ(), r.environment...), roleVar+"="+role, holdVar+"="+hold)
	p.Stderr = &p.errs
	p.in, err = p.StdinPipe()
	require.NoError(r, err)
	out, err := p.StdoutPipe()
	require.NoError(r, err)
	require.NoError(r, p.Start())
	p.said.Go(func() {
		defer p.ended.Store(true)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if len(words) < 3 {
				p.holding.Store(true)
				continue
			}
			r.book.note(words)
			if words[0] == acked {
				p.acks.Add(1)
			}
		}
	})
	r.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill()
	p.said.Wait()
	_ = p.Wait()
}

// end lets a writer finish what it does.
func (p *process) end(t testing.TB) {
	t.Helper()
	require.NoError(t, p.in.Close())
	p.said.Wait()
	require.NoError(t, p.Wait(), p.errs.String())
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.Process.Signal(s))
}
