package torture

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// auditEvery is the pause between two audits in the middle; of a large ledger,
	// it is auditShare times as long as the last one took.
	auditEvery = 5 * time.Second
	auditShare = 5
	// maxExamples bounds the records that are named.
	maxExamples = 10
)

// inSnapshot runs f on one state of the database. Without jit: to compile tiersQuery
// took PostgreSQL 7 s on busy cores, to run it 0.3 s.
func (r *run) inSnapshot(ctx context.Context, f func(pgx.Tx) error) error {
	conn, err := pgx.Connect(ctx, r.place.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	if _, err := conn.Exec(ctx, "SET jit = off"); err != nil {
		return err
	}
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f)
}

// auditLoop compares rollups and pending records with all records while these come
// in. Where PostgreSQL has just been killed, it tries again.
func (r *run) auditLoop(ctx context.Context) {
	for wait := r.scaled(auditEvery); pause(ctx, wait); {
		begun := time.Now()
		err := r.auditMidway(ctx)
		if wait = r.scaled(time.Second); err == nil {
			wait = max(r.scaled(auditEvery), auditShare*time.Since(begun))
		}
	}
}

func (r *run) auditMidway(ctx context.Context) error {
	if err := r.analyze(ctx); err != nil {
		return err
	}
	acknowledged, _ := r.book.count() // before the snapshot: these are in it
	return r.inSnapshot(ctx, func(tx pgx.Tx) error {
		var stored int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM usage_records").Scan(&stored); err != nil {
			return err
		}
		wrong, err := wrongCells(ctx, tx)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rep.Audits++
		for tier, cells := range wrong {
			r.rep.accuse(tier+", midway", cells)
		}
		if stored < acknowledged && !r.book.behind {
			r.rep.accuse("acknowledged records missing midway", acknowledged-stored)
		}
		return nil
	})
}

// analyze is what autovacuum does once a minute where PostgreSQL lives that long.
// Without, the estimates for the compactor's statement grew until PostgreSQL compiled
// it for a second each time, and 5,000 batches were pending after a minute.
func (r *run) analyze(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, r.place.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has answered
	_, err = conn.Exec(ctx, "ANALYZE usage_records, usage_pending")
	return err
}

// audit compares everything, when nobody writes any more.
func (r *run) audit(ctx context.Context) error {
	r.rep.Acknowledged, r.rep.Duplicates.Answered = r.book.count()
	r.rep.Failures = r.book.failures
	if n := r.book.wrong; n > 0 {
		r.rep.accuse("answers about keys", n)
	}
	return r.inSnapshot(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM usage_pending_records").Scan(&r.rep.Pending); err != nil {
			return err
		}
		wrong, err := wrongCells(ctx, tx)
		if err != nil {
			return err
		}
		for tier, cells := range wrong {
			r.rep.accuse(tier, cells)
		}
		return r.auditRecords(ctx, tx)
	})
}

// auditRecords reads the whole ledger and judges every record that was ever sent.
func (r *run) auditRecords(ctx context.Context, tx pgx.Tx) error {
	stored, ids, err := r.readRecords(ctx, tx)
	if err != nil {
		return err
	}
	var registered int64
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM usage_requests").Scan(&registered); err != nil {
		return err
	}
	if registered != ids {
		r.rep.accuse("usage_requests", max(registered-ids, ids-registered))
	}
	for stream, fates := range r.book.streams {
		for i, f := range fates {
			m := mark{int64(stream) + 1, int64(i) + 1}
			r.rep.judge(m, f, stored[m], r.book.judge(f, stored[m]))
		}
	}
	return nil
}

// readRecords counts how often each mark is stored, and the marks with requestIds;
// what was never sent, and what is not as it was sent, is a mismatch.
func (r *run) readRecords(ctx context.Context, tx pgx.Tx) (stored map[mark]int64, ids int64, err error) {
	rows, err := tx.Query(ctx, "SELECT input_tokens, output_tokens, "+rowText+" FROM usage_records")
	if err != nil {
		return nil, 0, err
	}
	stored = make(map[mark]int64)
	var m mark
	var row string
	_, err = pgx.ForEachRow(rows, []any{&m.Stream, &m.Number, &row}, func() error {
		r.rep.Stored++
		if stored[m]++; stored[m] == 1 && m.requestID() != "" {
			ids++
		}
		if r.book.find(m) == nil {
			r.rep.accuse("records that nobody sent", 1)
		} else if row != text(r.traffic.record(m)) {
			r.rep.accuse("records that were not sent like that", 1)
			r.rep.example(fmt.Sprintf("record %d of caller %d is stored as %q", m.Number, m.Stream, row))
		}
		return nil
	})
	return stored, ids, err
}
