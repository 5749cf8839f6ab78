package cache

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// flushError is not about the journal's Redis.
type flushError struct{ error }

// report logs a change between failing and working, once.
func (c *consumer) report(err error) {
	switch failing := err != nil; {
	case failing == c.failing || errors.Is(err, context.Canceled):
	case failing:
		c.failing = true
		c.opts.Logger.Warn("relaystore: the journal cannot be flushed, it keeps what it has until it can", slog.String("journal", c.opts.Name), slog.String("reason", reason(err)))
	default:
		c.failing = false
		c.opts.Logger.Info("relaystore: the journal is flushed", slog.String("journal", c.opts.Name))
	}
}

// reason is a text without addresses and names: of what Redis says, the code.
func reason(err error) string {
	var flush flushError
	if errors.As(err, &flush) {
		return flush.Error()
	}
	if redis, ok := rueidis.IsRedisErr(err); ok {
		code, _, _ := strings.Cut(redis.Error(), " ")
		return code
	}
	return "Redis does not answer"
}

func (c *consumer) reportRefused(reason string) {
	if now := time.Now(); now.Sub(c.refusedAt) > refusedQuiet {
		c.opts.Logger.Warn("relaystore: entries of the journal cannot be flushed and are put aside",
			slog.String("stream", c.refused), slog.String("first", reason))
	}
	c.refusedAt = time.Now()
}
