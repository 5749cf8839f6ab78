package monitoring

import "time"

// Paced makes what waits for seconds elsewhere wait for less.
func (c AlertsConfig) Paced(every, lease, firstDelay time.Duration, attempts int32) AlertsConfig {
	c.every, c.lease, c.firstDelay, c.attempts = every, lease, firstDelay, attempts
	return c
}

// Self is the process's name as the evaluator.
func (a *Alerts) Self() string { return a.self.String() }
