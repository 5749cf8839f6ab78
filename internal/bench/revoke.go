package bench

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Bounds of [RevokeOptions].
const (
	MaxProcesses = 32
	MaxRounds    = 100_000
)

// RevokeOptions of [Revoke].
type RevokeOptions struct {
	// Processes validate the key, the writer among them: at least 2.
	Processes int
	// Rounds are how often each way revokes.
	Rounds int
	// Progress, if set, hears how many of all rounds are done.
	Progress func(done, total int)
}

// RevokeReport is what [Revoke] measured.
type RevokeReport struct {
	Ways []Way `json:"ways"`
	// Checked and Violating are what the consistency meters of all processes count.
	Checked   int64 `json:"checked"`
	Violating int64 `json:"violating"`
}

// Way is one way to revoke. Times are milliseconds after the acknowledgement, in
// each round that of the process that came last.
type Way struct {
	// Name is delete, update or sql for a key; session, which is deleted, or
	// session-update.
	Name string `json:"way"`
	// SelfStale counts what the writer's own process asked after the call had
	// returned and was told yes; nil for sql, which none of them writes.
	SelfStale *int64 `json:"selfStale"`
	// These are of the last yes in the other processes, 0 where none followed.
	P50Ms float64 `json:"p50Ms"`
	P99Ms float64 `json:"p99Ms"`
	MaxMs float64 `json:"maxMs"`
	// ReenableP99Ms is of the first yes after the key, or its successor, is there.
	ReenableP99Ms float64 `json:"reenableP99Ms"`
	Rounds        int     `json:"rounds"`
}

// Revoke measures how soon real processes, which validate a key in loops paced at
// 1 kHz, hear that it is revoked and that it is back.
func Revoke(ctx context.Context, p Place, o RevokeOptions) (RevokeReport, error) {
	if o.Processes < 2 || o.Processes > MaxProcesses {
		return RevokeReport{}, result.Invalid("processes", "must lie between 2 and %d", MaxProcesses)
	}
	if o.Rounds < 1 || o.Rounds > MaxRounds {
		return RevokeReport{}, result.Invalid("rounds", "must lie between 1 and %d", MaxRounds)
	}
	conn, err := pgx.Connect(ctx, p.DatabaseURL)
	if err != nil {
		return RevokeReport{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	all, stop, err := startProcesses(ctx, p, o.Processes)
	defer stop()
	if err != nil {
		return RevokeReport{}, err
	}
	r := &revocation{all: all, writer: all[0], conn: conn, opts: o}
	return r.run(ctx)
}

// revocation is a running Revoke.
type revocation struct {
	all    processes
	writer *process
	conn   *pgx.Conn
	opts   RevokeOptions
	id     string // of the key that all watch, or a session's token
	done   int
}

func (r *revocation) run(ctx context.Context) (rep RevokeReport, err error) {
	if err := r.begin(ctx); err != nil {
		return rep, err
	}
	for _, w := range r.ways() {
		found, err := r.measure(ctx, w)
		if err != nil {
			return rep, err
		}
		rep.Ways = append(rep.Ways, found)
		meters, err := r.all.ask(ctx, command{Do: meter})
		if err != nil {
			return rep, err
		}
		rep.Checked, rep.Violating = 0, 0 // a meter counts from its process's start
		for _, m := range meters {
			rep.Checked += m.Checked
			rep.Violating += m.Violating
		}
	}
	return rep, nil
}

// begin has all watch a first key.
func (r *revocation) begin(ctx context.Context) error {
	_, err := r.newKey(ctx)
	if err == nil {
		_, err = r.all.ask(ctx, command{Do: resume})
	}
	return err
}

// newKey creates a key whose hash everybody has asked for before, in vain.
func (r *revocation) newKey(ctx context.Context) (reply, error) {
	hash := apikeys.HashPlaintext(uuid.NewString())
	_, err := r.all.ask(ctx, command{Do: watch, Hash: hash})
	if err != nil {
		return reply{}, err
	}
	created, err := r.writer.ask(ctx, command{Do: create, Hash: hash})
	r.id = created.ID
	return created, err
}

// tell has the writer call the library on the key.
func (r *revocation) tell(v verb) func(context.Context) (reply, error) {
	return func(ctx context.Context) (reply, error) { return r.writer.ask(ctx, command{Do: v, ID: r.id}) }
}

var errNoRow = errors.New("the key to revoke is not there")
