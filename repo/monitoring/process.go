package monitoring

// Sources are figures of a process that others count.
type Sources struct{}
