package sessions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// A user logs in, changes something, and logs out.
func Example() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close(ctx) //nolint:errcheck // an example

	session, err := client.Sessions.CreateSession(ctx, sessions.Data{
		UserID: "alice", UserType: sessions.User, SessionData: json.RawMessage(`{"theme":"light"}`),
		TTL: 8 * time.Hour, IPAddress: "192.0.2.7",
	}).Get()
	if err != nil {
		log.Panic(err)
	}
	say := func() {
		v, err := client.Sessions.ValidateSession(ctx, session.SessionToken).Get()
		if errors.Is(err, result.RecordNotFound) {
			fmt.Println("unknown")
			return
		}
		fmt.Println(v.UserID, v.UserType, string(v.SessionData), v.IsValid, err)
	}
	say()
	fmt.Println(client.Sessions.UpdateSession(ctx, session.SessionToken, sessions.Patch{
		SessionData: json.RawMessage(`{"theme":"dark"}`), ExtendTTL: 8 * time.Hour,
	}).Err())
	say()
	fmt.Println(client.Sessions.DeleteSession(ctx, session.SessionToken).Err())
	say()
	// Output:
	// alice user {"theme":"light"} true <nil>
	// <nil>
	// alice user {"theme":"dark"} true <nil>
	// <nil>
	// unknown
}
