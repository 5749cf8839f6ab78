package apikeys

import "time"

// SetClock puts another clock in time.Now's place, before the first call.
func (r *Repo) SetClock(now func() time.Time) { r.now = now }
