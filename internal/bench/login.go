package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// A login is a session of the library's: session is this package's word for an open
// library. Its data says whether it is active, so that an update revokes it, too.
const loginMark = "session "

var (
	loginOn  = json.RawMessage(`{"active":true}`)
	loginOff = json.RawMessage(`{"active":false}`)
)

func (s *session) askLogin(ctx context.Context, token string) (bool, error) {
	v, err := s.Sessions.ValidateSession(ctx, token).Get()
	if errors.Is(err, result.RecordNotFound) {
		return false, nil
	}
	return v.IsValid && bytes.Equal(v.SessionData, loginOn), err
}

// writeLogin is write for logins.
func (l *looper) writeLogin(ctx context.Context, c command) (r reply, err error) {
	switch c.Do {
	case create:
		var s sessions.Created
		s, err = l.Sessions.CreateSession(ctx, sessions.Data{UserID: "revoked", UserType: sessions.User, SessionData: loginOn}).Get()
		r.ID = s.SessionToken
	case enable:
		err = l.Sessions.UpdateSession(ctx, c.ID, sessions.Patch{SessionData: loginOn}).Err()
	case disable:
		err = l.Sessions.UpdateSession(ctx, c.ID, sessions.Patch{SessionData: loginOff}).Err()
	case remove:
		err = l.Sessions.DeleteSession(ctx, c.ID).Err()
	default:
		err = errNoCommand
	}
	return r, err
}

// newLogin creates one that all watch.
func (r *revocation) newLogin(ctx context.Context) (reply, error) {
	created, err := r.writer.ask(ctx, command{Do: create, Session: true})
	if err != nil {
		return created, err
	}
	r.id = created.ID
	_, err = r.all.ask(ctx, command{Do: watch, Hash: loginMark + r.id})
	return created, err
}

// tellLogin has the writer call the library on the login.
func (r *revocation) tellLogin(v verb) func(context.Context) (reply, error) {
	return func(ctx context.Context) (reply, error) {
		return r.writer.ask(ctx, command{Do: v, ID: r.id, Session: true})
	}
}
