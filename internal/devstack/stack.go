package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// startTimeout bounds Start for callers without a deadline. Both servers are
// up within 2 s on two idle cores; a loaded machine gets far more.
const startTimeout = 2 * time.Minute

// Options says what [Start] starts. The zero value starts both servers. Their
// logs go to postgres.log, initdb.log and redis.log in [Stack.Dir], and go
// away with it.
type Options struct {
	// SkipPostgres starts no PostgreSQL.
	SkipPostgres bool
	// SkipRedis starts no Redis.
	SkipRedis bool
	// RedisDump is an RDB file that Redis loads a copy of; it then keeps nothing on
	// disk.
	RedisDump string
}

// Stack is a set of running private servers. Its methods may be called from
// several goroutines at once.
type Stack struct {
	// Dir is the servers' private folder; "" when both are skipped.
	Dir string
	// DatabaseURL is the address of an empty database named relaystore, for
	// its superuser postgres; "" when PostgreSQL is skipped.
	// pg_stat_statements is loaded, but CREATE EXTENSION is left to the user.
	DatabaseURL string
	// RedisURL is the address of an empty Redis with its password; "" when
	// Redis is skipped.
	RedisURL string
	// Postgres and Redis are the servers, to be killed and started again; nil when
	// they are skipped.
	Postgres, Redis *Server

	programs programs
	account  account
	thread   *thread
	janitor  *janitor

	mu      sync.Mutex
	servers []*process

	closing  sync.Once
	closeErr error
}

// Start starts the servers and returns when both answer, in about 2 s. It
// gives up when ctx is cancelled, or after 2 minutes, and then leaves nothing
// behind. ctx does not bound the life of the servers: call [Stack.Close].
//
// It returns a [*MissingError] when a server is not installed and a
// [*StartError] when one does not start.
func Start(ctx context.Context, o Options) (*Stack, error) {
	s := &Stack{}
	if o.SkipPostgres && o.SkipRedis {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.prepare(ctx, o); err != nil {
		return nil, err
	}
	if err := s.startServers(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare finds everything out that can fail before there is anything to clean
// up, then makes the folder.
func (s *Stack) prepare(ctx context.Context, o Options) (err error) {
	if s.account, err = serverAccount(); err != nil {
		return err
	}
	if s.programs, err = findPrograms(ctx, o, s.account); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.Dir, err = newFolderName(s.account); err != nil {
		return err
	}
	s.thread = newThread()
	// The janitor comes before the folder: from the first moment of the
	// folder's life there is someone to remove it.
	if s.janitor, err = startJanitor(s.Dir); err != nil {
		s.thread.stop()
		return err
	}
	if err := makeFolder(s.Dir, s.account); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

func (s *Stack) startServers(ctx context.Context, o Options) error {
	g, ctx := errgroup.WithContext(ctx)
	if !o.SkipPostgres {
		g.Go(func() error { return s.startPostgres(ctx) })
	}
	if !o.SkipRedis {
		g.Go(func() error { return s.startRedis(ctx, o.RedisDump) })
	}
	return g.Wait()
}

// PIDs returns the process ids of the servers that were started and have not
// ended: PostgreSQL's postmaster and Redis, in no particular order.
func (s *Stack) PIDs() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pids []int
	for _, p := range s.servers {
		if !p.ended() {
			pids = append(pids, p.cmd.Process.Pid)
		}
	}
	return pids
}

// Close stops the servers at once, without a checkpoint, and removes their
// folder. It returns an error when the folder is still there in the end; a
// further call does nothing and returns the first one's error.
func (s *Stack) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Stack) close() error {
	if s.janitor == nil {
		return nil
	}
	s.mu.Lock()
	servers := s.servers
	s.mu.Unlock()
	for _, p := range servers {
		p.signal()
	}
	for _, p := range servers {
		p.wait()
	}
	// Only now: the kernel signals the servers when their thread ends.
	s.thread.stop()
	if err := s.janitor.close(); err != nil {
		return err
	}
	if _, err := os.Lstat(s.Dir); err == nil {
		return fmt.Errorf("devstack: could not remove %s", s.Dir)
	}
	return nil
}
