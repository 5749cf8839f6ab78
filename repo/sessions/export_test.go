package sessions

import "time"

// SetClock gives a Repo another clock.
func (r *Repo) SetClock(now func() time.Time) { r.now = now }

// KeptData lets tests go around it.
const KeptData = keptData
