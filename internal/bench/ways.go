package bench

import (
	"context"
	"time"
)

// way is how a round revokes and brings the key or a new one back; both give the
// time of the acknowledgement.
type way struct {
	name           string
	outside        bool                                 // of all processes
	begin          func(context.Context) (reply, error) // for another thing than the key
	revoke, revive func(context.Context) (reply, error)
}

func (r *revocation) ways() []way {
	return []way{
		{name: "delete", revoke: r.tell(remove), revive: r.newKey},
		{name: "update", revoke: r.tell(disable), revive: r.tell(enable)},
		{name: "sql", outside: true, revoke: r.sql(false), revive: r.sql(true)},
		{name: "session", begin: r.newLogin, revoke: r.tellLogin(remove), revive: r.newLogin},
		{name: "session-update", begin: r.newLogin, revoke: r.tellLogin(disable), revive: r.tellLogin(enable)},
	}
}

// sql is a change by hand.
func (r *revocation) sql(active bool) func(context.Context) (reply, error) {
	return func(ctx context.Context) (reply, error) {
		tag, err := r.conn.Exec(ctx, "UPDATE api_keys SET is_active = $1 WHERE id = $2", active, r.id)
		at := time.Now().UnixNano()
		if err == nil && tag.RowsAffected() != 1 {
			err = errNoRow
		}
		return reply{At: at}, err
	}
}

// measure plays all rounds of a way.
func (r *revocation) measure(ctx context.Context, w way) (Way, error) {
	var stale int64
	var gone, back []float64
	if w.begin != nil {
		if _, err := r.revive(ctx, way{revive: w.begin}); err != nil {
			return Way{}, err
		}
	}
	for range r.opts.Rounds {
		revoked, settled, err := r.revoke(ctx, w)
		if err != nil {
			return Way{}, err
		}
		others := settled
		if !w.outside {
			stale += revoked.Stale + settled[0].Stale
			others = settled[1:]
		}
		gone = append(gone, latest(others, revoked.At))
		revived, err := r.revive(ctx, w)
		if err != nil {
			return Way{}, err
		}
		back = append(back, revived)
		r.progress()
	}
	found := Way{
		Name: w.name, Rounds: r.opts.Rounds, P50Ms: percentile(gone, 0.5), P99Ms: percentile(gone, 0.99),
		MaxMs: percentile(gone, 1), ReenableP99Ms: percentile(back, 0.99),
	}
	if !w.outside {
		found.SelfStale = &stale
	}
	return found, nil
}

// revoke ends when no process says yes any more.
func (r *revocation) revoke(ctx context.Context, w way) (revoked reply, settled []reply, err error) {
	if revoked, err = w.revoke(ctx); err != nil {
		return revoked, nil, err
	}
	settled, err = r.all.ask(ctx, command{Do: settle, Since: revoked.At})
	return revoked, settled, err
}

// revive ends when every process says yes, and tells how long that took.
func (r *revocation) revive(ctx context.Context, w way) (float64, error) {
	revived, err := w.revive(ctx)
	if err != nil {
		return 0, err
	}
	back, err := r.all.ask(ctx, command{Do: resume})
	return latest(back, revived.At), err
}

// latest is how many milliseconds after since the last of the replies lies; 0 for
// none.
func latest(replies []reply, since int64) float64 {
	var most int64
	for _, r := range replies {
		most = max(most, r.At-since)
	}
	return rounded(float64(most)/float64(time.Millisecond), 3)
}

func (r *revocation) progress() {
	r.done++
	if r.opts.Progress != nil {
		r.opts.Progress(r.done, r.opts.Rounds*len(r.ways()))
	}
}
