package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// signalBase is what shells add to the number of the signal a command died of.
const signalBase = 128

// RunCommand runs cmd in the foreground, passes on the signals that arrive
// from signals and returns its exit code: 128+n when signal n ended it. An
// error means that it did not run.
//
// A signal that went to the whole process group, as Ctrl-C in a terminal does,
// is not passed on: cmd has it already, and many programs take a second one for
// impatience. On Linux cmd gets SIGTERM when this process ends before it.
func RunCommand(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	// The kernel's signal on our death is tied to this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	tether(cmd.SysProcAttr, syscall.SIGTERM)
	// Before cmd: a signal to the group that comes as soon as cmd is there must find
	// the witness, too, or cmd would get it twice.
	w := newWitness()
	defer func() { w.end() }()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("devstack: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			return exitCode(cmd.ProcessState, err)
		case sig := <-signals:
			if w.saw(sig) {
				w = newWitness()
				continue
			}
			_ = cmd.Process.Signal(sig) // fails only if it has just ended
		}
	}
}

// Signals delivers what ends a foreground program. A hangup that nohup has
// turned off stays so. stop ends the delivery.
func Signals() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	return c, func() { signal.Stop(c) }
}

func exitCode(state *os.ProcessState, err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("devstack: %w", err)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signalBase + int(status.Signal()), nil
	}
	return state.ExitCode(), nil
}
