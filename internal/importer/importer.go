package importer

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Options say how to import.
type Options struct {
	// EncryptionKey is the service's ENCRYPTION_KEY, as text.
	EncryptionKey string
	// OffsetHours is its TIMEZONE_OFFSET.
	OffsetHours int
	// DryRun reads and compares, and writes nothing.
	DryRun bool
	// Progress takes how many steps of all are done; it may be nil.
	Progress func(done, total int)
	// Warn takes a line for a person; it may be nil.
	Warn func(line string)
}

// Import moves a deployment, and gives the report, which Close removes. An
// ENCRYPTION_KEY that opens nothing is InvalidQuery, before anything is written; so is
// another import that is under way DB_TRANSACTION_CONFLICT.
func Import(ctx context.Context, client *repo.Client, source Source, opts Options) (*Report, error) {
	if opts.OffsetHours < -12 || opts.OffsetHours > 14 {
		return nil, result.Invalid("tz-offset", "must lie between -12 and 14")
	}
	if !opts.DryRun && client.LegacyObjects.Sealer == nil {
		return nil, result.Invalid("RELAYSTORE_KEYSET", "required to seal the accounts' secrets; relaystore keyset create makes one")
	}
	if opts.OffsetHours == 0 && opts.Warn != nil {
		opts.Warn("the service takes a TIMEZONE_OFFSET of 0 for 8: days begin at midnight UTC in this import, which may be right for no version of it")
	}
	dir, err := os.MkdirTemp("", "relaystore-import-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // open files live on until they are closed
	im, err := newImport(dir, client, source, opts)
	if err != nil {
		return nil, err
	}
	defer im.spill.close()
	if !opts.DryRun {
		if im.turn, err = client.LegacyObjects.Alone(ctx); err != nil {
			im.report.Close()
			return nil, err
		}
		defer im.turn.Release()
	}
	for _, step := range []func(context.Context) error{im.survey, im.checkKey, im.carry, im.matchHashes, im.readEvents, im.count, im.tellRests, im.flushObjects} {
		if err := step(ctx); err != nil {
			im.report.Close()
			return nil, err
		}
	}
	return im.report, nil
}

// run is one import.
type run struct {
	Options

	client *repo.Client
	source Source
	cipher *legacy.Cipher
	zone   *time.Location
	began  time.Time
	report *Report
	spill  *spill
	turn   *legacyobjects.Turn // none in a dry run

	// What the survey has found; of accounts, when they were created, once that is known.
	total    int
	done     int
	keys     map[uuid.UUID]keyInfo
	accounts map[uuid.UUID]time.Time
	groups   map[string]bool
	sealed   []string // names of accounts, a few

	// What waits to be written.
	objects     map[objectName]legacyobjects.Object
	objectBytes int
	// restCounters and restOwners count what tellRests names.
	restCounters, restOwners int
}

func newImport(dir string, client *repo.Client, source Source, opts Options) (*run, error) {
	im := &run{
		Options: opts, client: client, source: source, cipher: legacy.NewCipher(opts.EncryptionKey),
		zone: legacy.Offset(opts.OffsetHours), began: time.Now(),
		keys: make(map[uuid.UUID]keyInfo), accounts: make(map[uuid.UUID]time.Time), groups: make(map[string]bool),
	}
	var err error
	if im.report, err = newReport(dir); err != nil {
		return nil, err
	}
	im.spill, err = newSpill(dir)
	return im, err
}

// survey learns which keys, accounts and groups there are, and whether they may come.
func (im *run) survey(ctx context.Context) error {
	if err := im.checkPrimaries(ctx); err != nil {
		return err
	}
	return im.source.Names(ctx, func(keys []string) error {
		for _, key := range keys {
			im.total++
			n := legacy.ParseName(key)
			id, isID := parseID(n.ID)
			switch {
			case n.Kind == legacy.Group:
				im.groups[n.ID] = true
			case n.Kind == legacy.APIKey && isID:
				im.keys[id] = keyInfo{}
			case n.Kind == legacy.Account:
				if isID {
					im.accounts[id] = time.Time{}
				}
				if len(im.sealed) < maxTried {
					im.sealed = append(im.sealed, key)
				}
			}
		}
		return ctx.Err()
	})
}

// parseID takes the ids that a row may have.
func parseID(text string) (uuid.UUID, bool) {
	id, err := result.ParseID("id", text)
	return id, err == nil
}

func (im *run) step(n int) {
	im.done += n
	if im.Progress != nil {
		im.Progress(min(im.done, im.total), im.total)
	}
}

func (im *run) warn(line string) {
	if im.Warn != nil {
		im.Warn(line)
	}
}

// carry reads everything once, and writes what is no counter.
func (im *run) carry(ctx context.Context) error {
	if f, ok := im.source.(*File); ok {
		for _, p := range f.problems {
			if err := im.report.skip(legacy.Kind(p.Kind), p.ID, p.Reason); err != nil {
				return err
			}
		}
	}
	passed := make(map[legacy.Kind]int)
	err := im.source.Names(ctx, func(keys []string) error {
		read, err := im.sort(keys, passed)
		if err != nil {
			return err
		}
		entries, err := im.source.Read(ctx, read)
		if err != nil {
			return err
		}
		if err := im.gone(read, entries); err != nil {
			return err
		}
		im.step(len(keys))
		return im.take(ctx, entries)
	})
	if err != nil {
		return err
	}
	for kind, why := range map[legacy.Kind]string{
		legacy.Derived: "follow from others", legacy.Passing: "are worth nothing to another system",
	} {
		if n := passed[kind]; n > 0 {
			if err := im.report.skip(kind, "", strconv.Itoa(n)+" keys that "+why); err != nil {
				return err
			}
		}
	}
	return nil
}

// sort gives the keys of a batch that are to be read, each once: a row may be written once
// a statement. It names the foreign ones, and counts in passed those that nobody needs.
func (im *run) sort(keys []string, passed map[legacy.Kind]int) (read []string, err error) {
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		n := legacy.ParseName(key)
		im.report.Found[n.Kind]++
		switch {
		case seen[key]:
		case carried(n.Kind):
			read = append(read, key)
		case n.Kind == legacy.Foreign:
			if err := im.report.skip(n.Kind, key, "not a key of the legacy service"); err != nil {
				return nil, err
			}
		default:
			passed[n.Kind]++
		}
		seen[key] = true
	}
	return read, nil
}

// gone names what expired between its name and its reading.
func (im *run) gone(read []string, entries []Entry) error {
	if len(read) == len(entries) {
		return nil
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Key] = true
	}
	for _, key := range read {
		if !there[key] {
			if err := im.report.skip(legacy.ParseName(key).Kind, key, "expired while the source was read"); err != nil {
				return err
			}
		}
	}
	return nil
}

// take sorts a batch by what is to be done with it.
func (im *run) take(ctx context.Context, entries []Entry) error {
	var keys []Entry
	for _, e := range entries {
		if e.Type != wanted(e.Name) {
			if err := im.report.skip(e.Kind, e.Key, "is a "+e.Type+" and should be a "+wanted(e.Name)); err != nil {
				return err
			}
			continue
		}
		twin, err := im.hasTwin(ctx, e.Name)
		switch {
		case err != nil:
		case twin:
			err = im.refuse(ctx, e, "the same id is there in small letters as well")
		case e.Kind == legacy.APIKey:
			keys = append(keys, e)
		case e.Kind == legacy.Account:
			err = im.account(ctx, e)
		case isCounter(e.Kind):
			err = im.counter(ctx, e)
		default:
			err = im.object(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	return im.importKeys(ctx, keys)
}

func isCounter(k legacy.Kind) bool {
	switch k {
	case legacy.KeyUsage, legacy.KeyModelUsage, legacy.KeyCost, legacy.KeyRealCost, legacy.KeyOpusCost, legacy.AccountUsage, legacy.AccountModelUsage:
		return true
	}
	return false
}

// hasTwin tells whether the source has the same in small letters, which is how a row is
// named: what is in capitals would go over it.
func (im *run) hasTwin(ctx context.Context, n legacy.Name) (bool, error) {
	source, can := im.source.(marked)
	id, isID := parseID(n.ID)
	if !can || !isID || n.ID == id.String() {
		return false, nil
	}
	n.ID = id.String()
	has, err := source.Has(ctx, n.Key())
	if !has && err == nil && n.Kind != legacy.APIKey && n.Kind != legacy.Account {
		has, err = source.Has(ctx, legacy.Name{Kind: legacy.APIKey, ID: n.ID}.Key())
	}
	return has, err
}
