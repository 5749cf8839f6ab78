package devstack

import (
	"io"
	"os"
	"os/exec"
	"syscall"
)

// witness tells a signal to the whole process group from one to us alone,
// which a program cannot see otherwise in Go: it is a child in our group,
// cat, that dies of the former and echoes after the latter. The kernel gives
// a process its signals before it lets it go on, and serves younger members of
// a group first, so that there is nothing to wait for.
type witness struct {
	cmd  *exec.Cmd
	ask  io.WriteCloser
	echo io.ReadCloser
}

// newWitness must be called on a locked thread. Without a witness, signals are
// passed on.
func newWitness() *witness {
	w := &witness{cmd: exec.Command("cat")}
	w.cmd.Dir = "/"
	w.cmd.SysProcAttr = &syscall.SysProcAttr{}
	tether(w.cmd.SysProcAttr, syscall.SIGKILL)
	var err error
	if w.ask, err = w.cmd.StdinPipe(); err != nil {
		return nil
	}
	if w.echo, err = w.cmd.StdoutPipe(); err != nil {
		return nil
	}
	if w.cmd.Start() != nil {
		return nil
	}
	return w
}

// saw tells whether the group got sig; the witness is gone then.
func (w *witness) saw(sig os.Signal) bool {
	if w == nil || w.echoes() {
		return false
	}
	w.end()
	status, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == sig
}

func (w *witness) echoes() bool {
	if _, err := w.ask.Write([]byte{'?'}); err != nil {
		return false
	}
	_, err := io.ReadFull(w.echo, make([]byte, 1))
	return err == nil
}

// end may be called again.
func (w *witness) end() {
	if w == nil {
		return
	}
	_ = w.ask.Close()
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}
