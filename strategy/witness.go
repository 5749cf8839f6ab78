package strategy

import (
	"context"
	"sync"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// keys are how a data type's keys in Redis begin.
var keys = map[DataType][]string{
	APIKey: {"apikey:", "apikey_hash:"},
	Account: {
		"claude:account:", "claude_console_account:", "ccr_account:", "bedrock_account:", "gemini_account:",
		"gemini_api_account:", "openai:account:", "openai_responses_account:", "azure_openai:account:", "droid:account:",
	},
	Usage:   {"usage:", "account_usage:", "relaystore:usage:", "relaystore:request:"},
	Session: {"relaystore:session"},
}

// holds tells whether Redis has anything of a data type. It walks through all keys
// where it has not.
func (r *Redis) holds(ctx context.Context, t DataType) (bool, error) {
	client, err := r.connected(ctx)
	if err != nil {
		return false, err
	}
	for _, prefix := range keys[t] {
		for cursor := uint64(0); ; {
			page, err := client.Do(ctx, client.B().Scan().Cursor(cursor).Match(prefix+"*").Count(scanned).Build()).AsScanEntry()
			switch {
			case err != nil:
				return false, redisError(ctx, err)
			case len(page.Elements) > 0:
				return true, nil
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
	return false, nil
}

const scanned = 1000

// witness hears of every change of a data type's keys in Redis, by the pushes of
// client-side caching (BCAST): they need no change of the server's config, as keyspace
// notifications do, and a lost connection, behind which changes are missed, is told.
// Counters of usage go by their TTLs all the time: one that is gone has expired.
type witness struct {
	client rueidis.Client

	mu      sync.Mutex
	changed map[string]struct{} // at most mostChanged
	missed  bool                // of some change it knows no key

	expires bool
}

// mostChanged is how many changed keys a witness looks up; more are taken for changed.
const mostChanged = 10_000

// heard is the client's hook: nil is that changes may have been missed.
func (w *witness) heard(changed []rueidis.RedisMessage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed = w.missed || changed == nil
	for _, message := range changed {
		key, err := message.ToString()
		if err != nil || len(w.changed) == mostChanged {
			w.missed = true
			return
		}
		w.changed[key] = struct{}{}
	}
}

func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed, w.missed = make(map[string]struct{}), false
}

var errForeign = result.New(result.TransactionConflict, "somebody who does not follow relaystore's switches has written to Redis meanwhile: the primary stays; stop it and run the move again")

func (w *witness) begin(ctx context.Context, r *Redis, t DataType) (err error) {
	w.forget()
	w.expires = t == Usage
	if w.client, err = r.Watch(keys[t], w.heard); err != nil {
		return result.ConnectionFailed
	}
	if err := w.ask(ctx); err != nil {
		return err
	}
	w.forget() // a new connection counts as one that was lost
	return nil
}

// check asks twice: a push of the turn in which the server answers may come behind the
// answer, but before the next one.
func (w *witness) check(ctx context.Context) error {
	for range 2 {
		if err := w.ask(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.missed {
		return errForeign
	}
	for key := range w.changed {
		if !w.expires {
			return errForeign
		}
		there, err := w.client.Do(ctx, w.client.B().Exists().Key(key).Build()).AsBool()
		switch {
		case err != nil:
			return redisError(ctx, err)
		case there:
			return errForeign
		}
	}
	return nil
}

func (w *witness) ask(ctx context.Context) error {
	return redisError(ctx, w.client.Do(ctx, w.client.B().Ping().Build()).Error())
}

func (w *witness) close() {
	if w.client != nil {
		w.client.Close()
	}
}
