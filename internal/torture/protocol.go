package torture

// What the driver and its gateways say to each other: one JSON object a line. Lines
// are shorter than what a pipe takes in one piece, so a killed gateway leaves no
// half ones.

// setup is the first thing a gateway hears.
type setup struct {
	traffic

	// First is the stream of the first of its callers.
	First       int64  `json:"first"`
	Callers     int    `json:"callers"`
	UsageWrites string `json:"usageWrites"`
}

// order is what a gateway is told later.
type order struct {
	// Retry is to be recorded once more.
	Retry *mark `json:"retry,omitempty"`
	// Rest ends the callers; the gateway says when the last one has its answer and
	// the journal, if there is one, is empty.
	Rest bool `json:"rest,omitempty"`
}

// event is what a gateway tells.
type event string

const (
	// begins is told before a caller's call; of retries the driver knows.
	begins event = "begins"
	// These are told after a call.
	counted   event = "counted"
	duplicate event = "duplicate"
	failed    event = "failed"
	// wrong is an answer about a key that is not true.
	wrong   event = "wrong"
	resting event = "resting"
)

type report struct {
	mark

	Event event `json:"e"`
	Retry bool  `json:"r,omitempty"`
	// Code and Unknown are of a failure; an unknown one may have been stored.
	Code    string `json:"c,omitempty"`
	Unknown bool   `json:"u,omitempty"`
}
