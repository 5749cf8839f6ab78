package devstack

import "runtime"

// thread runs functions one at a time on one operating system thread.
type thread struct {
	calls chan func()
}

func newThread() *thread {
	t := &thread{calls: make(chan func())}
	go t.loop()
	return t
}

func (t *thread) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for call := range t.calls {
		call()
	}
}

func (t *thread) do(f func() error) error {
	result := make(chan error, 1)
	t.calls <- func() { result <- f() }
	return <-result
}

// stop ends the thread; no do may follow.
func (t *thread) stop() { close(t.calls) }
