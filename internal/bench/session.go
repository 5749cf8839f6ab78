package bench

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// readyTimeout bounds the wait for a fresh cache, which takes about 2 s.
	readyTimeout = time.Minute
	// warmPasses bounds how often the keys are asked for until all are cached.
	warmPasses  = 100
	warmCallers = 8
)

var (
	errCold   = errors.New("the keys do not stay in the cache")
	errBadURL = errors.New("DATABASE_URL cannot be parsed") // the cause may hold the password
)

// session is an open library whose use of PostgreSQL can be seen.
type session struct {
	*repo.Client

	pool *pgxpool.Pool
}

// openSession opens the library on a place; log is nil for slog's own.
func openSession(ctx context.Context, p Place, conns int32, log *slog.Logger) (*session, error) {
	pc, err := pgxpool.ParseConfig(p.DatabaseURL)
	if err != nil {
		return nil, errBadURL
	}
	pc.MaxConns, pc.ConnConfig.Tracer = conns, &strategy.Meter{}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	keys, err := seal.Generate()
	if err != nil {
		pool.Close()
		return nil, err
	}
	client, err := repo.Open(ctx, repo.Config{Pool: pool, RedisURL: p.RedisURL, KeyPrefix: p.Prefix, RequireRedis: true, Keyset: keys, Logger: log})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &session{client, pool}, nil
}

func (s *session) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), childDelay)
	defer cancel()
	err := s.Close(ctx)
	s.pool.Close()
	return err
}

// ask tells whether a key is active; an unknown one is not. What is marked so is the
// token of a login.
func (s *session) ask(ctx context.Context, hash string) (bool, error) {
	if token, is := strings.CutPrefix(hash, loginMark); is {
		return s.askLogin(ctx, token)
	}
	v, err := s.APIKeys.ValidateAPIKey(ctx, hash).Get()
	if errors.Is(err, result.RecordNotFound) {
		return false, nil
	}
	return v.IsActive, err
}

// ready waits until answers come from the cache, by a key that nobody has.
func (s *session) ready(ctx context.Context) error {
	return s.cached(ctx, func(ctx context.Context) error {
		_, err := s.ask(ctx, apikeys.HashPlaintext(""))
		return err
	})
}

// cached waits until PostgreSQL is not asked for an answer.
func (s *session) cached(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		before := s.pool.Stat().AcquireCount()
		if err := ask(ctx); err != nil {
			return err
		}
		if s.pool.Stat().AcquireCount() == before {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// warm asks for n keys until a whole pass asks PostgreSQL for nothing.
func (s *session) warm(ctx context.Context, n int, hash func(int) string) error {
	for range warmPasses {
		before := s.pool.Stat().AcquireCount()
		if err := s.pass(ctx, n, hash); err != nil {
			return err
		}
		if s.pool.Stat().AcquireCount() == before {
			return s.pass(ctx, n, hash) // what Redis answered before is now in the process
		}
	}
	return errCold
}

func (s *session) pass(ctx context.Context, n int, hash func(int) string) error {
	group, ctx := errgroup.WithContext(ctx)
	for caller := range warmCallers {
		group.Go(func() error {
			for i := caller; i < n; i += warmCallers {
				if _, err := s.ask(ctx, hash(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
