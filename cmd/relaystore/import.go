package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/importer"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const importHelp = `Moves what claude-relay-service keeps in its Redis into PostgreSQL: API keys, with
every field and with the plaintexts that users have; accounts, whose secrets are
opened and sealed anew; usage and cost, at the resolution that they have; and all
else that is worth keeping, sealed as it is. The source is never written to.

The source is one of
  --redis URL  the service's Redis, with the database in the URL
  --rdb FILE   a dump of it, which a private redis-server reads
  --file FILE  an export: of data-transfer.js or data-transfer-enhanced.js, as JSON,
               or what /admin/sync/export-accounts answers

--encryption-key-file holds the service's ENCRYPTION_KEY. Gateways need the same in
RELAYSTORE_LEGACY_ENCRYPTION_KEY: users' keys are hashed with it. --tz-offset is the
service's TIMEZONE_OFFSET.

Accounts come paused, so that two systems never refresh one token. Run the same
command again as long as the service runs, also after it was killed: figures are set,
not added, so that nothing counts twice, what has happened since is added, and what
has changed here since is left alone. A Redis that is or was a primary of this
database is refused: what it has comes with relaystore strategy switch.

The report compares every total, month and day, and names the hours that differ.
Exit code 1 tells that a figure differs and nothing explains it.`

type importFlags struct {
	redis, rdb, file, keyFile string
	offset                    int
	dryRun, asJSON, rate      bool
}

// newImportCmd is `relaystore import`.
func newImportCmd() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import",
		Short: "Move a legacy deployment into PostgreSQL",
		Long:  importHelp,
		Example: "  relaystore import --redis redis://10.0.0.5:6379/0 --encryption-key-file key --dry-run\n" +
			"  relaystore import --rdb dump.rdb --encryption-key-file key --json > report.json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runImport(c, f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.redis, "redis", "", "the service's Redis")
	flags.StringVar(&f.rdb, "rdb", "", "a dump of it")
	flags.StringVar(&f.file, "file", "", "an export")
	flags.StringVar(&f.keyFile, "encryption-key-file", "", "holds the service's ENCRYPTION_KEY")
	flags.IntVar(&f.offset, "tz-offset", legacy.DefaultOffset, "the service's TIMEZONE_OFFSET, in hours")
	flags.BoolVar(&f.dryRun, "dry-run", false, "read and compare, and write nothing")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	flags.BoolVar(&f.rate, "rate", false, "also read everything once with SCAN and HGETALL, and print both rates")
	c.MarkFlagsMutuallyExclusive("redis", "rdb", "file")
	c.MarkFlagsOneRequired("redis", "rdb", "file")
	_ = c.MarkFlagRequired("encryption-key-file")
	return c
}

// maxEncryptionKey bounds the file that holds it.
const maxEncryptionKey = 4096

func readEncryptionKey(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxEncryptionKey+1))
	key := strings.TrimRight(string(text), "\r\n")
	switch {
	case err != nil:
		return "", err
	case key == "" || len(text) > maxEncryptionKey:
		return "", result.Invalid("encryption-key-file", "must hold 1 to %d bytes", maxEncryptionKey)
	}
	return key, nil
}

func runImport(c *cobra.Command, f importFlags) (err error) {
	ctx := c.Context()
	key, err := readEncryptionKey(f.keyFile)
	if err != nil {
		return err
	}
	source, closeSource, err := openSource(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	var rep *importer.Report
	began := time.Now()
	err = withClient(ctx, func(client *repo.Client) (err error) {
		progress, end := newSteps(c.ErrOrStderr(), "importing", "keys")
		defer end()
		rep, err = importer.Import(ctx, client, source, importer.Options{
			EncryptionKey: key, OffsetHours: f.offset, DryRun: f.dryRun, Progress: progress,
			Warn: func(line string) { fmt.Fprintln(c.ErrOrStderr(), "relaystore:", line) },
		})
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil: // whoever was asked just then tells it as its own
		return interrupted("; run the same command to go on, nothing counts twice")
	case err != nil:
		return err
	}
	defer rep.Close()
	took := time.Since(began)
	if f.asJSON {
		err = rep.WriteJSON(c.OutOrStdout())
	} else {
		err = printImport(c.OutOrStdout(), rep, took, f.dryRun)
	}
	if err == nil && f.rate {
		err = printRates(ctx, c.ErrOrStderr(), source, rep, took)
	}
	if err == nil && rep.Unexplained > 0 {
		err = fmt.Errorf("%d figures differ and nothing explains it", rep.Unexplained)
	}
	return err
}

func openSource(ctx context.Context, f importFlags) (importer.Source, func() error, error) {
	switch {
	case f.file != "":
		source, err := importer.OpenFile(f.file)
		return source, func() error { return nil }, err
	case f.rdb != "":
		source, err := importer.OpenDump(ctx, f.rdb)
		if err != nil {
			return nil, nil, err
		}
		return source, source.Close, nil
	}
	source, err := importer.OpenRedis(f.redis)
	if err != nil {
		return nil, nil, err
	}
	return source, source.Close, nil
}
