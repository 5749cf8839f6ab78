package strategy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// moveVar makes the test binary a process with a store: "write" adds until it is
// killed, "redis" and "postgres" move sessions there and stop at the step that holdVar
// names.
const (
	moveVar = "RELAYSTORE_TEST_MOVE_CHILD"
	holdVar = "RELAYSTORE_TEST_MOVE_HOLD"
)

func playStore(role string) error {
	ctx := context.Background()
	s, err := openStore(ctx, os.Getenv("MOVE_DATABASE"), os.Getenv("MOVE_REDIS"))
	if err != nil {
		return err
	}
	if role != "write" {
		for {
			err := s.Move(ctx, strategy.Session, config(strategy.Primary(role)), func(p strategy.Progress) {
				fmt.Println("at", p.Step)
				if p.Step == os.Getenv(holdVar) {
					select {}
				}
			}).Err()
			if !errors.Is(err, result.TransactionConflict) { // a machine so busy that it lost its lease
				return err
			}
		}
	}
	for {
		id := uuid.NewString()
		fmt.Println("try", id)
		if s.insert(ctx, id) == nil {
			fmt.Println("ack", id)
		}
	}
}

// process is a child, and what it has said.
type process struct {
	*exec.Cmd

	mu    sync.Mutex
	tried map[string]bool
	acked []string
	at    string
	ended chan struct{}
}

func (m *moves) process(role, hold string) *process {
	m.Helper()
	self, err := os.Executable()
	require.NoError(m, err)
	p := &process{Cmd: exec.Command(self), tried: make(map[string]bool), ended: make(chan struct{})}
	p.Env = append(os.Environ(), moveVar+"="+role, holdVar+"="+hold, "MOVE_DATABASE="+m.database, "MOVE_REDIS="+m.redis)
	out, err := p.StdoutPipe()
	require.NoError(m, err)
	require.NoError(m, p.Start())
	go p.listen(out)
	m.Cleanup(p.kill)
	return p
}

func (p *process) listen(out io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, arg, _ := strings.Cut(lines.Text(), " ")
		p.mu.Lock()
		switch what {
		case "try":
			p.tried[arg] = true
		case "ack":
			p.acked = append(p.acked, arg)
		case "at":
			p.at = arg
		}
		p.mu.Unlock()
	}
}

func (p *process) step() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

func (p *process) acks() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
	_ = p.Wait()
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.Process.Signal(s))
}

// Whoever moves a primary is killed at each step, both ways, while three processes
// write, one of which is stopped while another one does it again. Nothing that was
// acknowledged is lost or doubled, and nobody writes where the primary was.
func TestAMoveIsKilledAtEachStep(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	writers := []*process{m.process("write", ""), m.process("write", ""), m.process("write", "")}
	work := func(of []*process) {
		for _, w := range of {
			before := w.acks()
			m.becomes(func() bool { return w.acks() > before+3 })
		}
	}
	work(writers)
	for i, step := range []string{strategy.MovePausing, strategy.MoveCopying, strategy.MoveVerifying, strategy.MoveFlipping, strategy.MoveFlipped} {
		for k, to := range primaries {
			switcher := m.process(string(to), step)
			m.becomes(func() bool { return switcher.step() == step })
			switcher.kill()
			sleeper := writers[(i+k)%3]
			sleeper.signal(t, syscall.SIGSTOP)
			m.becomes(func() bool {
				return m.store.Move(t.Context(), strategy.Session, config(to), nil).Err() == nil
			})
			before := m.stored(primaries[1-k])
			work(slices.DeleteFunc(slices.Clone(writers), func(w *process) bool { return w == sleeper }))
			sleeper.signal(t, syscall.SIGCONT)
			work(writers)
			require.Equal(t, before, m.stored(primaries[1-k]), "%s to %s", step, to)
		}
	}
	tried, acked := make(map[string]bool), []string(nil)
	for _, w := range writers {
		w.kill()
		for id := range w.tried {
			tried[id] = true
		}
		acked = append(acked, w.acked...)
	}
	found := m.stored(strategy.PrimaryPostgres)
	require.Len(t, slices.Compact(slices.Clone(found)), len(found), "doubled")
	for _, id := range found {
		require.True(t, tried[id])
	}
	for _, id := range acked {
		_, kept := slices.BinarySearch(found, id)
		require.True(t, kept, "lost")
	}
	t.Logf("%d acknowledged, %d moves", len(acked), m.store.Moved(strategy.Session))
}
