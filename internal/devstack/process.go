package devstack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a server gets to end by its own stop signal.
// PostgreSQL kills its children after 5 s of an immediate shutdown.
const stopTimeout = 10 * time.Second

// process is a running server, or initdb.
type process struct {
	name string
	cmd  *exec.Cmd
	stop syscall.Signal
	log  string
	done chan struct{}
	err  error // set before done is closed
}

// spawn starts a program that will get stop as a signal when its time is over,
// and its output into name.log.
func (s *Stack) spawn(name string, stop syscall.Signal, program string, args ...string) (*process, error) {
	p := &process{name: name, stop: stop, log: filepath.Join(s.Dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, &StartError{Server: name, Err: err}
	}
	defer func() { _ = log.Close() }()
	p.cmd = s.command(log, stop, program, args)
	if err := s.thread.do(p.cmd.Start); err != nil {
		return nil, &StartError{Server: name, Err: err}
	}
	s.adopt(p)
	go p.reap()
	return p, nil
}

// command gives the servers a clean environment: PGPORT, PGDATA, TZ and others
// of the user's would change what they do.
func (s *Stack) command(log *os.File, stop syscall.Signal, program string, args []string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = s.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir, "LC_ALL=" + locale}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{s.janitor.servers}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: s.account.credential}
	tether(cmd.SysProcAttr, stop)
	return cmd
}

func (s *Stack) adopt(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers = append(slices.DeleteFunc(s.servers, (*process).ended), p)
	if !diesWithThread {
		// Fails only if the janitor is gone, and then Close still works.
		_ = s.janitor.watch(p.stop, p.cmd.Process.Pid)
	}
}

func (p *process) reap() {
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal asks the process to end; a stopped one has to go on for that.
func (p *process) signal() {
	_ = p.cmd.Process.Signal(p.stop)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
}

// wait waits for the process to end after signal, and in the end kills it.
func (p *process) wait() {
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// run waits for a process that ends by itself.
func (p *process) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return p.late(ctx)
	case <-p.done:
	}
	if p.err != nil {
		return p.failed()
	}
	return nil
}

// ready tries every 20 ms until try succeeds or the process ends.
func (p *process) ready(ctx context.Context, try func(context.Context) error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for try(ctx) != nil {
		select {
		case <-ctx.Done():
			return p.late(ctx)
		case <-p.done:
			return p.failed()
		case <-tick.C:
		}
	}
	return nil
}

func (p *process) late(ctx context.Context) error {
	return fmt.Errorf("devstack: waiting for %s: %w", p.name, ctx.Err())
}

func (p *process) failed() error {
	return &StartError{Server: p.name, Err: p.err, Log: tail(p.log)}
}

// Children gives the processes that a process has started, where Linux tells them.
func Children(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list) //nolint:gosec // of /proc
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
