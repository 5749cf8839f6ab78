package importer

import (
	"context"
	"errors"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// maxTried is how many accounts are tried before the key counts as wrong.
const maxTried = 1000

// checkKey finds out a wrong ENCRYPTION_KEY before anything is written: it opens none
// of the secrets. One that opens some is right, and the others are damaged.
func (im *run) checkKey(ctx context.Context) error {
	entries, err := im.source.Read(ctx, im.sealed)
	if err != nil {
		return err
	}
	trial := trialOpener{opener: im.source.Opener(im.cipher)}
	for _, e := range entries {
		if fields, err := accountFields(e); err == nil {
			legacy.DecodeAccount(e.Platform, e.ID, fields, &trial)
		}
		if trial.opened > 0 {
			return nil
		}
	}
	if trial.failed > 0 {
		return result.Invalid("encryption-key-file", "this ENCRYPTION_KEY opens none of %d secrets; nothing was written", trial.failed)
	}
	im.warn("no account has a sealed secret, so that the ENCRYPTION_KEY could not be checked: if it is wrong, users' keys will not work")
	return nil
}

// trialOpener counts what opens.
type trialOpener struct {
	opener         legacy.Opener
	opened, failed int
}

func (t *trialOpener) Open(platform, text string) (string, error) {
	opened, err := t.opener.Open(platform, text)
	switch {
	case errors.Is(err, legacy.ErrUnopened):
		t.failed++
	case err == nil && text != "" && opened != text:
		t.opened++
	}
	return opened, err
}

// accountFields gives an account's fields, whatever it is stored as.
func accountFields(e Entry) (map[string]string, error) {
	switch {
	case e.Type != wanted(e.Name):
		return nil, errType
	case e.Type == "string":
		return legacy.BedrockFields(e.Text)
	}
	return e.Fields, nil
}

var errType = errors.New("of another type than it should be")
