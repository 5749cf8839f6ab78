package torture

import (
	"regexp"
	"sync/atomic"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// What passes from PostgreSQL to a gateway. Each statement of the ledger commits by
// itself, when it has ended: ReadyForQuery behind its CommandComplete is the
// acknowledgement.
const ready = `\x00Z\x00\x00\x00\x05I`

// row ends a DataRow of UsageBatchInsert: known, written, stored_before.
const row = `\x00\x00\x00\x01[\x00\x01]\x00\x00\x00\x01[\x00\x01]\x00\x00\x00\x01[\x00\x01]`

var (
	// fastPath acknowledges UsageBatchAppend, conflictPath UsageBatchInsert, which
	// has ON CONFLICT.
	fastPath     = regexp.MustCompile(`INSERT 0 \d+` + ready)
	conflictPath = regexp.MustCompile(`(?s)` + row + `C\x00\x00\x00.SELECT \d+` + ready)

	// fastDuplicate is the refusal of a batch in which some requestId is registered.
	fastDuplicate = regexp.MustCompile(`C23505\x00`)
	// conflictDuplicate is a record whose requestId is another one's, ownRecord one
	// that an earlier try of the same call had stored.
	conflictDuplicate = regexp.MustCompile(`\x00\x00\x00\x01\x01\x00\x00\x00\x01\x00\x00\x00\x00\x01\x00[CD]`)
	ownRecord         = regexp.MustCompile(`\x00\x00\x00\x01\x01\x00\x00\x00\x01\x00\x00\x00\x00\x01\x01[CD]`)
)

// sightings count what passed a proxy.
type sightings struct {
	fast, conflict, own *atomic.Int64
}

func watch(p *faultproxy.Proxy) *sightings {
	return &sightings{
		fast:     p.Count(faultproxy.ToClient, fastDuplicate),
		conflict: p.Count(faultproxy.ToClient, conflictDuplicate),
		own:      p.Count(faultproxy.ToClient, ownRecord),
	}
}
