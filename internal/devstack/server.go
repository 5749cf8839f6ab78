package devstack

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// restartPause is between tries to start a server: a killed PostgreSQL leaves
// children that hold its memory for some ms, and another process may have taken
// Redis' port.
const restartPause = 50 * time.Millisecond

// Server is one of a Stack's servers, for tests of what outages do. Its methods
// must not run at the same time as each other or as [Stack.Close].
type Server struct {
	launch  func() (*process, error)
	answers func(context.Context) error
	process *process
}

// Kill sends a signal that ends the server and waits until it has: SIGKILL, or
// SIGQUIT for PostgreSQL's immediate shutdown, which is a crash for its data as well
// but leaves no shared memory on the machine where no Start follows.
func (v *Server) Kill(sig syscall.Signal) {
	_ = v.process.cmd.Process.Signal(sig) // fails for one that has ended
	<-v.process.done
}

// Start starts a server that has ended again, on its data and at its address, and
// returns when it answers; a running one need only answer. It tries until ctx ends,
// for two minutes at most.
func (v *Server) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for v.process.ended() {
		err := v.try(ctx)
		var failed *StartError
		if !errors.As(err, &failed) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(restartPause):
		}
	}
	return v.process.ready(ctx, v.answers)
}

func (v *Server) try(ctx context.Context) error {
	p, err := v.launch()
	if err != nil {
		return err
	}
	v.process = p
	return p.ready(ctx, v.answers)
}

// Pause stops the server without ending it (SIGSTOP); of PostgreSQL, whose
// backends go on, it stops the taking of connections.
func (v *Server) Pause() error { return v.process.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (v *Server) Resume() error { return v.process.cmd.Process.Signal(syscall.SIGCONT) }
