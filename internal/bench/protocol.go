package bench

// What the parent of Revoke and its children say to each other: one JSON object a
// line, a reply for each command. A child also replies once when it is ready.

// verb is what a child is told to do.
type verb string

const (
	// watch turns the loop to another hash; the reply comes after its first answer.
	watch verb = "watch"
	// settle waits until the loop says no for good, resume until it says yes.
	settle verb = "settle"
	resume verb = "resume"

	// These call the library; the reply comes after the call, and an answer.
	create  verb = "create"
	enable  verb = "enable"
	disable verb = "disable"
	remove  verb = "remove"

	// meter asks for the library's consistency meter.
	meter verb = "meter"
)

type command struct {
	Do   verb   `json:"do"`
	ID   string `json:"id,omitempty"`
	Hash string `json:"hash,omitempty"`
	// Session says that ID is a session's token, not a key's.
	Session bool `json:"session,omitempty"`
	// Since is when the key was revoked, in nanoseconds since 1970 like every
	// time: processes on one machine share that clock.
	Since int64 `json:"since,omitempty"`
}

type reply struct {
	// At is when a call returned, the last yes after Since was said (0 for none),
	// or the first yes after it was waited for.
	At int64 `json:"at,omitempty"`
	// Stale counts the answers yes to what was asked after Since.
	Stale int64 `json:"stale,omitempty"`
	// ID is of a created key, or a created session's token.
	ID string `json:"id,omitempty"`

	Checked   int64 `json:"checked,omitempty"`
	Violating int64 `json:"violating,omitempty"`
	// Error ends the benchmark.
	Error string `json:"error,omitempty"`
}
