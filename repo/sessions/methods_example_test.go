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

func openForExample(ctx context.Context) (*repo.Client, func()) {
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	return client, func() {
		_ = client.Close(ctx)
		drop()
	}
}

// loginForExample opens a session of alice's.
func loginForExample(ctx context.Context, client *repo.Client, ttl time.Duration) sessions.Created {
	created, err := client.Sessions.CreateSession(ctx, sessions.Data{
		UserID: "alice", UserType: sessions.User, SessionData: json.RawMessage(`{"theme":"light"}`), TTL: ttl,
	}).Get()
	if err != nil {
		log.Panic(err)
	}
	return created
}

// A session lives for a day where nothing else is said. What is wrong is named.
func ExampleRepo_CreateSession() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	data := sessions.Data{UserID: "root", UserType: sessions.Admin, SessionData: json.RawMessage(`{}`), IPAddress: "192.0.2.7"}
	created, err := client.Sessions.CreateSession(ctx, data).Get()
	fmt.Println(len(created.SessionToken), time.Until(created.ExpiresAt).Round(time.Hour), err)

	data.IPAddress = "192.0.2.7:443"
	err = client.Sessions.CreateSession(ctx, data).Err()
	fmt.Println(errors.Is(err, result.InvalidQuery), result.From(err).Field())
	// Output:
	// 64 24h0m0s <nil>
	// true ipAddress
}

// Whose session a token opens, and that a guess opens none.
func ExampleRepo_ValidateSession() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	token := loginForExample(ctx, client, time.Hour).SessionToken
	v, err := client.Sessions.ValidateSession(ctx, token).Get()
	fmt.Println(v.UserID, v.UserType, string(v.SessionData), v.IsValid, err)
	_, err = client.Sessions.ValidateSession(ctx, "a guess").Get()
	fmt.Println(errors.Is(err, result.RecordNotFound))
	// Output:
	// alice user {"theme":"light"} true <nil>
	// true
}

// New data replaces the old, and the session ends an hour from now.
func ExampleRepo_UpdateSession() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	token := loginForExample(ctx, client, time.Minute).SessionToken
	updated, err := client.Sessions.UpdateSession(ctx, token, sessions.Patch{
		SessionData: json.RawMessage(`{"theme":"dark"}`), ExtendTTL: time.Hour,
	}).Get()
	fmt.Println(time.Until(updated.ExpiresAt).Round(time.Minute), err)
	v, err := client.Sessions.ValidateSession(ctx, token).Get()
	fmt.Println(string(v.SessionData), err)
	// Output:
	// 1h0m0s <nil>
	// {"theme":"dark"} <nil>
}

// The user has logged out: the token is unknown at once, and deleting it again
// says so.
func ExampleRepo_DeleteSession() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	token := loginForExample(ctx, client, time.Hour).SessionToken
	fmt.Println(client.Sessions.DeleteSession(ctx, token).Err())
	fmt.Println(errors.Is(client.Sessions.ValidateSession(ctx, token).Err(), result.RecordNotFound))
	fmt.Println(errors.Is(client.Sessions.DeleteSession(ctx, token).Err(), result.RecordNotFound))
	// Output:
	// <nil>
	// true
	// true
}

// What has ended is not valid any more, and a cleanup takes it away.
func ExampleRepo_CleanupExpiredSessions() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	loginForExample(ctx, client, time.Hour)
	short := loginForExample(ctx, client, time.Millisecond)
	v, err := client.Sessions.ValidateSession(ctx, short.SessionToken).Get()
	for v.IsValid { // until its time has come
		v, err = client.Sessions.ValidateSession(ctx, short.SessionToken).Get()
	}
	fmt.Println(v.IsValid, err)
	cleaned, err := client.Sessions.CleanupExpiredSessions(ctx).Get()
	fmt.Println(cleaned.DeletedSessions, err)
	// Output:
	// false <nil>
	// 1 <nil>
}
