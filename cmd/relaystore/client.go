package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/schema"
)

// closeTimeout bounds the writing of what is still in memory at the end.
const closeTimeout = 10 * time.Second

// withClient runs f on a client that is configured by the environment.
func withClient(ctx context.Context, f func(*repo.Client) error) error {
	cfg, err := repo.ConfigFromEnv()
	if err != nil {
		return err
	}
	return withConfig(ctx, cfg, f)
}

func withConfig(ctx context.Context, cfg repo.Config, f func(*repo.Client) error) (err error) {
	client, err := repo.Open(ctx, cfg)
	if err != nil {
		var state *schema.StateError
		if errors.As(err, &state) {
			return &codeError{exitNotMigrated, err}
		}
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, client.Close(closing))
	}()
	return f(client)
}

// printJSON prints one object, indented for a person and fine for a program.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
