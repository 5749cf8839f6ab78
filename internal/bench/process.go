package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"
)

// replyTimeout is longer than any command of a healthy child.
const replyTimeout = 2 * readyTimeout

// process is a child that runs Loop.
type process struct {
	n       int
	cmd     *exec.Cmd
	send    *json.Encoder
	receive *json.Decoder
}

// startProcess starts a child that ends with ctx.
func startProcess(ctx context.Context, p Place, n int) (*process, error) {
	cmd, err := p.child(ctx, LoopCommand)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = in.Close
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{n, cmd, json.NewEncoder(in), json.NewDecoder(out)}, nil
}

// ask sends a command and waits for its reply, also in vain when the child dies.
func (p *process) ask(ctx context.Context, c command) (r reply, err error) {
	if err := p.send.Encode(c); err != nil {
		return r, p.ended(ctx, err)
	}
	return p.hear(ctx)
}

func (p *process) hear(ctx context.Context) (r reply, err error) {
	late := time.AfterFunc(replyTimeout, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.receive.Decode(&r); err != nil {
		return r, p.ended(ctx, err)
	}
	if r.Error != "" {
		return r, errors.Join(ctx.Err(), fmt.Errorf("process %d: %s", p.n, r.Error))
	}
	return r, nil
}

// ended says why: the whole benchmark was cancelled, or the child is gone.
func (p *process) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("process %d ended in the middle: %w", p.n, err)
}

// processes are all children; the first one is the writer.
type processes []*process

// startProcesses starts n children and waits until each answers from its cache.
// stop ends them, and waits for that.
func startProcesses(ctx context.Context, p Place, n int) (ps processes, stop func(), err error) {
	running, cancel := context.WithCancel(ctx)
	stop = func() {
		cancel()
		for _, p := range ps {
			_ = p.cmd.Wait() // says that it was cancelled
		}
	}
	for i := range n {
		child, err := startProcess(running, p, i+1)
		if err != nil {
			return ps, stop, err
		}
		ps = append(ps, child)
	}
	_, err = ps.each(func(p *process) (reply, error) { return p.hear(ctx) })
	return ps, stop, err
}

// ask asks all at once and gives the replies in order.
func (ps processes) ask(ctx context.Context, c command) ([]reply, error) {
	return ps.each(func(p *process) (reply, error) { return p.ask(ctx, c) })
}

func (ps processes) each(f func(*process) (reply, error)) ([]reply, error) {
	replies, errs := make([]reply, len(ps)), make([]error, len(ps))
	var group errgroup.Group
	for i, p := range ps {
		group.Go(func() error {
			replies[i], errs[i] = f(p)
			return nil
		})
	}
	_ = group.Wait()
	return replies, errors.Join(errs...)
}
