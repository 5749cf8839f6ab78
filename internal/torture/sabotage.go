package torture

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/repo/usage"
)

// sabotageVar makes gateways do wrong on purpose, for a test that the torture
// notices.
const sabotageVar = "TORTURE_SABOTAGE"

const (
	// acknowledgeEarly acknowledges a record some time before it is given to the
	// library.
	acknowledgeEarly = "acknowledge-early"
	// forgetRequestIDs records a retry as another record.
	forgetRequestIDs = "forget-request-ids"
)

// spoil changes records or, where it is true, has already dealt with them.
func (g *gateway) spoil(recs []usage.Record, marks []mark, retry bool) (done bool) {
	switch {
	case g.sabotage == forgetRequestIDs && retry:
		recs[0].RequestID = ""
	case g.sabotage == acknowledgeEarly && !retry:
		for _, m := range marks {
			g.tell(report{mark: m, Event: counted})
		}
		pause(context.Background(), 20*time.Millisecond)
		g.write(context.Background(), recs)
		return true
	}
	return false
}
