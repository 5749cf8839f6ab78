package devstack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// janitorScript reads "SIGNAL PID" lines until its owner is gone and then sends
// those signals; waits for the last server to close its end of descriptor 3;
// and removes the folder, retrying for 10 s.
const janitorScript = `
trap '' INT TERM HUP QUIT
servers=
while read -r signal pid; do servers="$servers $signal:$pid"; done
for server in $servers; do kill -s "${server%%:*}" "${server#*:}"; done
read -r nothing <&3
tries=0
while rm -rf "$1"; [ -e "$1" ] && [ "$tries" -lt 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
`

// janitorTimeout is more than the janitor takes at most once all servers are
// gone.
const janitorTimeout = 15 * time.Second

var errJanitor = errors.New("devstack: the servers' folder is still being removed")

// janitor removes the folder when its owner and the servers are gone.
type janitor struct {
	cmd *exec.Cmd
	// owner is the write end that only we hold.
	owner io.WriteCloser
	// servers is the write end that the servers inherit.
	servers *os.File
}

// startJanitor starts the janitor for dir, which need not exist yet.
func startJanitor(dir string) (*janitor, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("devstack: %w", err)
	}
	defer func() { _ = read.Close() }()
	j := &janitor{cmd: exec.Command("/bin/sh", "-c", janitorScript, "janitor", dir), servers: write}
	j.cmd.Dir = "/"
	j.cmd.ExtraFiles = []*os.File{read}
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if j.owner, err = j.cmd.StdinPipe(); err == nil {
		err = j.cmd.Start()
	}
	if err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("devstack: %w", err)
	}
	return j, nil
}

// watch has the janitor send sig to pid when its owner is gone.
func (j *janitor) watch(sig syscall.Signal, pid int) error {
	_, err := fmt.Fprintf(j.owner, "%d %d\n", int(sig), pid)
	return err
}

// close lets the janitor do its work and waits for it.
func (j *janitor) close() error {
	_ = j.servers.Close()
	_ = j.owner.Close()
	done := make(chan struct{})
	go func() {
		_ = j.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(janitorTimeout):
		return errJanitor
	}
}
