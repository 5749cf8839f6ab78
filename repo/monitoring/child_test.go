package monitoring

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// urlVar makes the test binary, run by a test, a process with a known load.
const urlVar = "RELAYSTORE_TEST_MONITORED"

func TestMain(m *testing.M) {
	url := os.Getenv(urlVar)
	if url == "" {
		os.Exit(m.Run())
	}
	if err := playLoad(context.Background(), url); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// playLoad fills two minutes. The first is stored when it is over, with four queries
// that the second counts; the second is stored by Close.
func playLoad(ctx context.Context, url string) error {
	p, err := newProcess(ctx, url, started)
	if err != nil {
		return err
	}
	if err := p.query(ctx, "Quick", 10*time.Millisecond, 10); err != nil {
		return err
	}
	if err := p.query(ctx, "Slow", 300*time.Millisecond, 5); err != nil {
		return err
	}
	for _, state := range []string{"40001", "40001", "57014"} {
		if p.fail(ctx, state) == nil {
			return fmt.Errorf("%s did not fail", state)
		}
	}
	if err := p.minutePasses(ctx); err != nil {
		return err
	}
	if err := p.query(ctx, "Quick", 5*time.Millisecond, 20); err != nil {
		return err
	}
	p.clock.set(started.Add(2*time.Minute - time.Millisecond))
	p.close(ctx)
	return nil
}

// loads runs so many such processes at once, to their end.
func (b *bundle) loads(processes int) {
	b.Helper()
	done := make(chan error, processes)
	for range processes {
		go func() {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), urlVar+"="+b.url)
			out, err := c.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			done <- err
		}()
	}
	for range processes {
		require.NoError(b, <-done)
	}
}

// after is one that has none of the load, and is asked.
func (b *bundle) after(d time.Duration) *process { return b.open(b.url, started.Add(d)) }
