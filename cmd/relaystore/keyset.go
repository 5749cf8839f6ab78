package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const keysetHelp = `Keeps the keyset that seals the secrets of accounts: a file of AEAD keys in Tink's
JSON, which nobody but its owner may read. Gateways take it from
RELAYSTORE_KEYSET_FILE, or its content from RELAYSTORE_KEYSET.

To change the key while gateways run:
  1. relaystore keyset rotate    adds a key; the older one goes on sealing
  2. give the file to every gateway and restart them, one after the other
  3. relaystore keyset promote   makes the new key the one that seals
  4. give the file to every gateway again and restart them
  5. relaystore reseal           seals what is stored with the new key

A gateway must know a key before any other one seals with it: what it does not
know, it cannot open. Older keys stay in the file, for backups of the database.`

// newKeysetCmd is `relaystore keyset`.
func newKeysetCmd() *cobra.Command {
	c := &cobra.Command{
		Use:     "keyset",
		Short:   "Make and rotate the keyset that seals accounts' secrets",
		Long:    keysetHelp,
		Example: "  relaystore keyset create --file /etc/relaystore/keyset.json\n  relaystore keyset list --json",
	}
	var path string
	var asJSON bool
	c.PersistentFlags().StringVar(&path, "file", "", "the keyset's file (default $RELAYSTORE_KEYSET_FILE)")
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print one JSON object")
	sub := func(use, short string, args cobra.PositionalArgs, run func(path string, args []string) (string, *keyset.Handle, error)) {
		c.AddCommand(&cobra.Command{
			Use: use, Short: short, Args: args, Example: "  relaystore keyset " + use,
			RunE: func(c *cobra.Command, args []string) error {
				file := cmp.Or(path, os.Getenv("RELAYSTORE_KEYSET_FILE"))
				if file == "" {
					return result.Invalid("RELAYSTORE_KEYSET_FILE", "required, or --file")
				}
				said, keys, err := run(file, args)
				if err != nil {
					return err
				}
				return printKeys(c.OutOrStdout(), said, keys, asJSON)
			},
		})
	}
	sub("create", "Make a keyset of one new key", cobra.NoArgs, keysetCreate)
	sub("rotate", "Add a new key, which does not seal before it is promoted", cobra.NoArgs, keysetRotate)
	sub("promote [ID]", "Let the newest key, or the one of an id, seal from now on", cobra.MaximumNArgs(1), keysetPromote)
	sub("list", "List the keys, without what is secret of them", cobra.NoArgs, keysetList)
	return c
}

func keysetCreate(path string, _ []string) (string, *keyset.Handle, error) {
	keys, err := seal.Generate()
	if err != nil {
		return "", nil, err
	}
	err = seal.CreateFile(path, keys)
	if errors.Is(err, fs.ErrExist) {
		return "", nil, fmt.Errorf("%s exists already; relaystore keyset rotate adds a key to it", path)
	}
	return "Made " + path + ". Back it up: without it, no secret opens.", keys, err
}

func keysetRotate(path string, _ []string) (string, *keyset.Handle, error) {
	var id uint32
	keys, err := changeKeys(path, func(m *keyset.Manager) (err error) {
		id, err = seal.AddKey(m)
		return err
	})
	return fmt.Sprintf("Added key %d. Give the file to every gateway, then run relaystore keyset promote.", id), keys, err
}

func keysetPromote(path string, args []string) (string, *keyset.Handle, error) {
	before, err := seal.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	id := seal.Keys(before)[before.Len()-1].ID
	if len(args) == 1 {
		n, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil {
			return "", nil, result.Invalid("ID", "not a key's id")
		}
		id = uint32(n)
	}
	keys, err := changeKeys(path, func(m *keyset.Manager) error {
		if m.SetPrimary(id) != nil {
			return result.Invalid("ID", "no enabled key has the id %d", id)
		}
		return nil
	})
	return fmt.Sprintf("Key %d seals from now on. Give the file to every gateway, then run relaystore reseal.", id), keys, err
}

func changeKeys(path string, change func(*keyset.Manager) error) (*keyset.Handle, error) {
	before, err := seal.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManagerFromHandle(before)
	if err := change(m); err != nil {
		return nil, err
	}
	after, err := m.Handle()
	if err != nil {
		return nil, err
	}
	return after, seal.ReplaceFile(path, after)
}

func keysetList(path string, _ []string) (string, *keyset.Handle, error) {
	keys, err := seal.ReadFile(path)
	return "", keys, err
}

func printKeys(w io.Writer, said string, keys *keyset.Handle, asJSON bool) error {
	list := seal.Keys(keys)
	if asJSON {
		return printJSON(w, map[string]any{"keys": list})
	}
	if said != "" {
		fmt.Fprintln(w, said)
	}
	t := newTable(w, table.Row{"key id", "status", "seals"}, 1)
	for _, k := range list {
		seals := ""
		if k.Primary {
			seals = "yes"
		}
		t.AppendRow(table.Row{k.ID, k.Status, seals})
	}
	t.Render()
	return nil
}
