package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// maxPlaintext is what the library takes of a client, in bytes.
const maxPlaintext = 1024

const keysCreateHelp = `Makes an API key and shows it, this once: 256 random bits behind the prefix of
RELAYSTORE_API_KEY_PREFIX. What is left out means no limit.

With --plaintext, the key is the one line that FILE holds (- is standard input), for
clients that have one already. It is as good as it is hard to guess, and not shown.`

func newKeysCreateCmd(asJSON *bool) *cobra.Command {
	var data apikeys.KeyData
	var expires, plaintext string
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a key and show it, this once", Long: keysCreateHelp, Args: cobra.ExactArgs(1),
		Example: "  relaystore keys create \"alice's editor\" --permissions claude,openai --tag team-a --tag trial --expires-at 2030-01-01T00:00:00Z\n" +
			"  secret-store get key | relaystore keys create bob --plaintext - --json",
		RunE: func(c *cobra.Command, args []string) (err error) {
			data.Name = args[0]
			if data.ExpiresAt, err = parseMoment("expires-at", expires); err != nil {
				return err
			}
			if plaintext != "" {
				if data.HashedKey, err = readPlaintext(c.InOrStdin(), plaintext); err != nil {
					return err
				}
			}
			return withClient(c.Context(), func(client *repo.Client) error {
				created, err := client.APIKeys.CreateAPIKey(c.Context(), data).Get()
				if err != nil {
					return err
				}
				if at := data.ExpiresAt; !*asJSON && !at.IsZero() && !at.After(time.Now()) {
					fmt.Fprintln(c.ErrOrStderr(), "relaystore: the key is of no use: --expires-at has passed")
				}
				return printCreated(c.OutOrStdout(), data.Name, created, *asJSON)
			})
		},
	}
	c.Flags().StringVar(&plaintext, "plaintext", "", "take the key from this file in place of a new one")
	c.Flags().StringVar(&data.Description, "description", "", "what it is for")
	c.Flags().StringVar(&data.Permissions, "permissions", "all", "all, or platforms joined by commas: claude, gemini, openai, droid")
	c.Flags().StringVar(&expires, "expires-at", "", "when it ends")
	c.Flags().StringArrayVar(&data.Tags, "tag", nil, "a tag; give it again for more")
	c.Flags().Int64Var(&data.TokenLimit, "token-limit", 0, "tokens a rate window")
	c.Flags().Int64Var(&data.ConcurrencyLimit, "concurrency-limit", 0, "requests at a time")
	c.Flags().TextVar(&data.DailyCostLimit, "daily-cost-limit", result.Money{}, "US dollars a day")
	return c
}

// readPlaintext gives the hash of the one line that the file holds.
func readPlaintext(stdin io.Reader, path string) (hash string, err error) {
	text, err := readBounded(stdin, path, maxPlaintext+len("\r\n"))
	if err != nil {
		return "", err
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case line == "":
		return "", result.Invalid("FILE", "holds no key")
	case len(line) > maxPlaintext:
		return "", result.Invalid("FILE", "larger than %d bytes", maxPlaintext)
	case !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return "", result.Invalid("FILE", "not one line of printable characters without spaces")
	}
	return apikeys.HashPlaintext(line), nil
}

// printCreated tells when it could not print: nobody will see this key again.
func printCreated(w io.Writer, name string, created apikeys.Created, asJSON bool) (err error) {
	switch {
	case asJSON:
		return printJSON(w, created)
	case created.APIKey == "":
		_, err = fmt.Fprintf(w, "Created %s as %s, with the given key.\n", printable(name), created.ID)
	default:
		_, err = fmt.Fprintf(w, "Created %s as %s. Its key, shown this once:\n%s\n", printable(name), created.ID, created.APIKey)
	}
	return err
}

func newKeysDeleteCmd(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "Revoke a key for good; its usage and name stay in reports", Args: cobra.ExactArgs(1),
		Example: "  relaystore keys delete 0190b8a0-0000-7000-8000-000000000001",
		RunE: func(c *cobra.Command, args []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				status := client.APIKeys.DeleteAPIKey(c.Context(), args[0])
				switch {
				case status.Err() != nil:
					return status.Err()
				case *asJSON:
					return printJSON(c.OutOrStdout(), status)
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "Deleted %s.\n", args[0])
				return err
			})
		},
	}
}
