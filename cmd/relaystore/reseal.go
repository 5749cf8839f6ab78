package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
)

const resealHelp = `Seals every secret of the accounts anew, and every object that an import has kept,
that was not sealed by the keyset's primary key, while gateways run. What is written
meanwhile is not overwritten. It may be interrupted or killed and run again; at the
end it looks whether anything is left.

relaystore help keyset tells when to run it.`

// newResealCmd is `relaystore reseal`.
func newResealCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "reseal", Short: "Seal what is stored with the keyset's primary key", Long: resealHelp,
		Example: "  relaystore reseal\n  relaystore reseal --json", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runReseal(c, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// resealed is what was sealed anew of accounts, and of what was imported beside them.
type resealed struct {
	accounts.Resealed

	Objects         int `json:"objects"`
	UnopenedObjects int `json:"unopenedObjects"`
}

func runReseal(c *cobra.Command, asJSON bool) error {
	var rep resealed
	err := withClient(c.Context(), func(client *repo.Client) (err error) {
		bar := newBar(c.ErrOrStderr(), 1, "sealing")
		rep.Resealed, err = client.Accounts.Reseal(c.Context(), func(done, of int) {
			bar.ChangeMax(max(of, 1))
			_ = bar.Set(done)
		})
		_ = bar.Exit()
		if err != nil {
			return err
		}
		objects, err := client.LegacyObjects.Reseal(c.Context())
		rep.Objects, rep.UnopenedObjects = objects.Objects, objects.Unopened
		return err
	})
	switch {
	case errors.Is(err, context.Canceled):
		return interrupted(" after %d accounts; run the same command to go on", rep.Accounts)
	case err != nil:
		return err
	}
	if asJSON {
		err = printJSON(c.OutOrStdout(), rep)
	} else {
		fmt.Fprintf(c.OutOrStdout(), "Sealed the secrets of %d accounts with key %d.\n", rep.Accounts, rep.KeyID)
		if rep.Objects > 0 {
			fmt.Fprintf(c.OutOrStdout(), "Sealed %d imported objects as well.\n", rep.Objects)
		}
	}
	return errors.Join(err, unfinished(rep))
}

// unfinished tells what still needs an older key.
func unfinished(rep resealed) error {
	if rep.UnopenedObjects > 0 {
		return fmt.Errorf("no key of the keyset opens %d imported objects", rep.UnopenedObjects)
	}
	if rep.Remaining == 0 {
		return nil
	}
	err := fmt.Errorf("%d accounts still have secrets that another key has sealed", rep.Remaining)
	if len(rep.Unopened) > 0 {
		err = fmt.Errorf("%w; no key of the keyset opens: %s", err, strings.Join(rep.Unopened, ", "))
	}
	return err
}
