package cache

import "context"

// Close stops taking part, when the journal is drained or ctx has ended, and
// gives how many entries remain in it; -1 means that Redis does not tell. Without
// a deadline, the first failure ends it. What remains is flushed by others. A
// second Close gives what the first one gave.
func (j *Journal) Close(ctx context.Context) (remaining int64) {
	j.close.Do(func() {
		if j.consumer.flush != nil {
			j.remaining = j.consumer.end(ctx)
		}
		j.consumer.stop()
		if client := j.client.Load(); client != nil {
			(*client).Close()
		}
	})
	return j.remaining
}

// end waits until the consumer has drained the journal or given up.
func (c *consumer) end(ctx context.Context) (remaining int64) {
	_, c.patient = ctx.Deadline()
	close(c.closing)
	after := context.WithoutCancel(ctx)
	select {
	case <-c.done:
		if c.drained {
			_ = c.forget(after, true) // else others do
			return 0
		}
	case <-ctx.Done():
	}
	if c.client.Load() == nil {
		return 0 // it never took anything
	}
	return c.count(after)
}
