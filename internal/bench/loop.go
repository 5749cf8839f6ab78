package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Loop is a child of [Revoke]: it validates a key in a loop and obeys commands
// until there are no more.
func Loop(ctx context.Context, p Place, commands io.Reader, replies io.Writer) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := openSession(ctx, p, repo.DefaultMaxConns, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.ready(ctx); err != nil {
		return err
	}
	l := &looper{session: s, watcher: newWatcher(s.ask)}
	running := make(chan struct{})
	go func() {
		defer close(running)
		l.watcher.run(ctx)
	}()
	defer func() {
		stop()
		<-running
	}()
	return l.obey(ctx, receive(commands, stop), json.NewEncoder(replies))
}

// receive reads in the background, so that the end of the commands ends what the
// child is doing.
func receive(from io.Reader, stop context.CancelFunc) <-chan command {
	commands := make(chan command, 1) // one, since the parent waits for its reply
	go func() {
		defer stop()
		for dec := json.NewDecoder(from); ; {
			var c command
			if dec.Decode(&c) != nil {
				return
			}
			commands <- c
		}
	}()
	return commands
}

type looper struct {
	*session

	watcher *watcher
}

func (l *looper) obey(ctx context.Context, commands <-chan command, replies *json.Encoder) error {
	if err := replies.Encode(reply{}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-commands:
			r, err := l.do(ctx, c)
			if err != nil {
				r.Error = fmt.Sprintf("%s: %v", c.Do, err)
			}
			if err := replies.Encode(r); err != nil {
				return err
			}
		}
	}
}

func (l *looper) do(ctx context.Context, c command) (r reply, err error) {
	switch c.Do {
	case watch:
		l.watcher.turn(c.Hash)
		return l.watcher.await(ctx, answered)
	case settle:
		return l.watcher.await(ctx, lastYes(c.Since))
	case resume:
		return l.watcher.await(ctx, firstYes)
	case meter:
		counted, err := consistency(ctx, l.Client)
		r.Checked, r.Violating = counted.Checked, counted.Violating
		return r, err
	}
	return l.write(ctx, c)
}

// write calls the library and asks at once whether the key is still active.
func (l *looper) write(ctx context.Context, c command) (r reply, err error) {
	if c.Session {
		r, err = l.writeLogin(ctx, c)
	} else {
		r, err = l.writeKey(ctx, c)
	}
	r.At = time.Now().UnixNano()
	if err != nil {
		return r, err
	}
	active, err := l.ask(ctx, l.watcher.watched())
	if active {
		r.Stale = 1 // means nothing after create and enable
	}
	return r, err
}

var errNoCommand = errors.New("no such command")

func (l *looper) writeKey(ctx context.Context, c command) (r reply, err error) {
	switch c.Do {
	case create:
		var k apikeys.Created
		k, err = l.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "revoked", HashedKey: c.Hash}).Get()
		r.ID = k.ID
	case enable, disable:
		err = l.APIKeys.UpdateAPIKey(ctx, c.ID, apikeys.Patch{IsActive: result.Set(c.Do == enable)}).Err()
	case remove:
		err = l.APIKeys.DeleteAPIKey(ctx, c.ID).Err()
	default:
		err = errNoCommand
	}
	return r, err
}
