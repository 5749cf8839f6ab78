package devstack

import (
	"context"
	"syscall"
)

// Server is one of a Stack's servers, for tests of what outages do. Its methods
// must not run at the same time as each other or as [Stack.Close].
type Server struct {
	launch  func() (*process, error)
	answers func(context.Context) error
	process *process
}

// Kill ends the server at once and waits for that. Redis gets SIGKILL; PostgreSQL
// an immediate shutdown, which is a crash for its data: SIGKILL would do no more to
// them, but leave its shared memory on the machine.
func (v *Server) Kill() {
	v.process.signal()
	v.process.wait()
}

// Start starts a killed server again, on its data and at its address, and returns
// when it answers. One that ends instead, as Redis does where another process has
// taken its port meanwhile, is a [*StartError]; then Start may be called again.
func (v *Server) Start(ctx context.Context) error {
	p, err := v.launch()
	if err != nil {
		return err
	}
	v.process = p
	return v.Await(ctx)
}

// Await waits until the server answers, as after the crash of one of its children.
func (v *Server) Await(ctx context.Context) error { return v.process.ready(ctx, v.answers) }

// Pause stops the server without ending it (SIGSTOP); of PostgreSQL, whose
// backends go on, it stops the taking of connections.
func (v *Server) Pause() error { return v.process.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (v *Server) Resume() error { return v.process.cmd.Process.Signal(syscall.SIGCONT) }
