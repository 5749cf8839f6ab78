package torture

import (
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"sync"

	"github.com/seed14a526e0/relaystore/internal/bench"
)

// child is a running gateway, as the driver sees it.
type child struct {
	cmd    *exec.Cmd
	in     io.Closer
	hear   func(report)
	rested chan struct{} // closed when it rests
	done   chan struct{} // closed when it has ended and all it said is heard
	err    error         // how it ended; set before done is closed

	mu       sync.Mutex
	out      *json.Encoder
	open     map[mark]int // calls without an answer
	retrying int          // those of them that it was ordered to make
	doomed   bool         // it is to end
}

// startChild starts a gateway; hear gets what it says, in order.
func startChild(p bench.Place, s setup, hear func(report)) (*child, error) {
	cmd, err := p.Command(context.Background(), "torture", GatewayCommand)
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
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{
		cmd: cmd, in: in, hear: hear, out: json.NewEncoder(in), open: make(map[mark]int),
		rested: make(chan struct{}), done: make(chan struct{}),
	}
	go c.listen(out)
	_ = c.out.Encode(s) // fails only where it has ended already, which is seen elsewhere
	return c, nil
}

// listen hears everything that is in the pipe, also when its writer is dead.
func (c *child) listen(from io.Reader) {
	defer close(c.done)
	dec := json.NewDecoder(from)
	for {
		var r report
		if dec.Decode(&r) != nil {
			break
		}
		c.note(r)
		c.hear(r)
	}
	c.err = c.cmd.Wait()
}

func (c *child) note(r report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.Event {
	case begins:
		c.open[r.mark]++
	case counted, duplicate, failed:
		if c.open[r.mark]--; c.open[r.mark] <= 0 {
			delete(c.open, r.mark)
		}
		if r.Retry {
			c.retrying--
		}
	case resting:
		close(c.rested)
	}
}

// retry orders a call; it is false where the gateway has enough to do, or is dead.
func (c *child) retry(m mark, begin func(mark)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doomed || c.retrying >= maxOrders {
		return false
	}
	begin(m)
	c.open[m]++
	c.retrying++
	_ = c.out.Encode(order{Retry: &m}) // where it has just died, the call stays open
	return true
}

func (c *child) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(order{Rest: true}) // fails only where it has ended, which is seen elsewhere
}

// doom keeps orders away from a gateway that is going to end.
func (c *child) doom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doomed = true
}

// kill ends it at once, and waits until all it said is heard.
func (c *child) kill() {
	c.doom()
	_ = c.cmd.Process.Kill()
	<-c.done
}

// close ends it in order.
func (c *child) close() error {
	c.doom()
	_ = c.in.Close()
	<-c.done
	return c.err
}

// orphans are the calls that nobody will answer any more.
func (c *child) orphans() (marks []mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range c.open {
		marks = append(marks, m)
	}
	return marks
}
