package usage

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/testchild"
	"github.com/seed14a526e0/relaystore/strategy"
)

// roleVar makes the test binary, run by a test, a process of its own.
const roleVar = "RELAYSTORE_USAGE_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func(*Repo, *cache.Journal) error{
		"gateway": playGateway, "commits and dies": playCommitter, "reads and waits": playReader,
	}
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(roles[role]); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// play opens a process under write_behind, whose consumer is the role's.
func play(role func(*Repo, *cache.Journal) error) error {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	pool, err := pgxpool.New(ctx, os.Getenv("ROLE_DATABASE"))
	if err != nil {
		return err
	}
	journal, err := cache.OpenJournal(ctx, cache.JournalOptions{
		URL: os.Getenv("ROLE_REDIS"), Prefix: os.Getenv("ROLE_PREFIX"), Name: "usage", ClaimAfter: claimAfter, Logger: logger,
	})
	if err != nil {
		return err
	}
	r := New(Config{Primary: &strategy.Postgres{Pool: pool, Retry: strategy.DefaultRetry, OpTimeout: 5 * time.Second}, Logger: logger})
	r.behind = newBehind(r, journal)
	return role(r, journal)
}

// claimAfter is short, so that the dead are soon noticed.
const claimAfter = 300 * time.Millisecond

// playGateway records for a key, says so of each record, and closes on SIGTERM.
func playGateway(r *Repo, j *cache.Journal) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	j.Start(r.flush)
	lines := make(chan string, 1000)
	for range 4 {
		go func() {
			for ctx.Err() == nil {
				rec := sample(os.Getenv("ROLE_KEY"))
				rec.RequestID = uuid.NewString()
				lines <- "try " + rec.RequestID
				if err := r.RecordUsage(context.Background(), rec).Err(); err == nil {
					lines <- "ack " + rec.RequestID
				}
			}
		}()
	}
	for {
		select {
		case line := <-lines:
			fmt.Println(line)
		case <-ctx.Done():
			go func() {
				for line := range lines {
					fmt.Println(line)
				}
			}()
			closing, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return r.Close(closing)
		}
	}
}

// playCommitter is killed between the commit and its acknowledgement.
func playCommitter(r *Repo, j *cache.Journal) error {
	j.Start(func(entries []string) []error {
		outcomes := r.flush(entries)
		fmt.Println("committed", len(entries))
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		return outcomes
	})
	select {}
}

// playReader reads and never commits.
func playReader(_ *Repo, j *cache.Journal) error {
	j.Start(func(entries []string) []error {
		fmt.Println("read", len(entries))
		select {}
	})
	select {}
}

func (b *journalBundle) play(t *testing.T, role string) *testchild.Process {
	t.Helper()
	return testchild.Start(t, roleVar+"="+role, "ROLE_DATABASE="+b.url, "ROLE_REDIS="+b.redisURL, "ROLE_PREFIX="+b.prefix, "ROLE_KEY="+b.keys[0])
}
