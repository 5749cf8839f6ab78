package accounts

import (
	"bytes"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	maxName        = 255
	maxDescription = 4096
	maxMessage     = 4096
	maxPriority    = 100
	midPriority    = 50
	maxSecret      = 16 << 10
	maxSecrets     = 64 << 10
	maxList        = 100
	maxScope       = 255
	maxHost        = 255
	maxProxyText   = 1024
	maxPort        = 65535
	maxJSON        = 64 << 10
)

// Times that an account may hold: what JavaScript and PostgreSQL both do.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// normalise fills in the defaults and refuses what is out of bounds, naming the
// field. What it lets pass, the database's own checks let pass, too.
func (d *AccountData) normalise() error {
	if d.AccountType == "" {
		d.AccountType = accountTypes[0]
	}
	if d.Priority == 0 {
		d.Priority = midPriority
	}
	if d.Schedulable == nil {
		yes := true
		d.Schedulable = &yes
	}
	for _, check := range []func() error{d.checkPlain, d.checkCredentials, d.Details.normalise} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (d *AccountData) checkPlain() error {
	switch {
	case d.Name == "":
		return result.Invalid("name", "required")
	case d.Platform == "":
		return result.Invalid("platform", "required")
	case d.Priority < 1 || d.Priority > maxPriority:
		return result.Invalid("priority", "must lie between 1 and %d", maxPriority)
	}
	if err := result.CheckText("name", d.Name, maxName); err != nil {
		return err
	}
	if err := result.CheckText("description", d.Description, maxDescription); err != nil {
		return err
	}
	if err := oneOf("platform", d.Platform, Platforms); err != nil {
		return err
	}
	return oneOf("accountType", d.AccountType, accountTypes)
}

func (d *AccountData) checkCredentials() error {
	if d.OAuthData != nil {
		if err := d.OAuthData.normalise("oauthData"); err != nil {
			return err
		}
	}
	if d.ProxyConfig != nil {
		if err := d.ProxyConfig.check("proxyConfig"); err != nil {
			return err
		}
	}
	if err := checkSecret("apiKey", d.APIKey); err != nil {
		return err
	}
	return d.Secrets.check("secrets")
}

// checkClaude refuses what the contract requires of a Claude account.
func (d *AccountData) checkClaude() error {
	switch o := d.OAuthData; {
	case d.Platform != "" && d.Platform != Claude:
		return result.Invalid("platform", "must be %s", Claude)
	case o == nil:
		return result.Invalid("oauthData", "required")
	case o.AccessToken == "":
		return result.Invalid("oauthData.accessToken", "required")
	case o.RefreshToken == "":
		return result.Invalid("oauthData.refreshToken", "required")
	case len(o.Scopes) == 0:
		return result.Invalid("oauthData.scopes", "required")
	case o.ExpiresAt.IsZero():
		return result.Invalid("oauthData.expiresAt", "required")
	}
	return nil
}

func (o *OAuthData) normalise(field string) error {
	if o.AccessToken == "" && o.RefreshToken == "" {
		return result.Invalid(field+".accessToken", "required")
	}
	if err := checkSecret(field+".accessToken", o.AccessToken); err != nil {
		return err
	}
	if err := checkSecret(field+".refreshToken", o.RefreshToken); err != nil {
		return err
	}
	if len(o.Scopes) > maxList {
		return result.Invalid(field+".scopes", "more than %d entries", maxList)
	}
	for _, s := range o.Scopes {
		if s == "" {
			return result.Invalid(field+".scopes", "holds an empty text")
		}
		if err := result.CheckText(field+".scopes", s, maxScope); err != nil {
			return err
		}
	}
	o.ExpiresAt = o.ExpiresAt.Truncate(time.Microsecond)
	return checkTime(field+".expiresAt", o.ExpiresAt)
}

func checkTime(field string, t time.Time) error {
	if !t.IsZero() && (t.Before(earliest) || t.After(latest)) {
		return result.Invalid(field, "must lie between the years 1970 and 9999")
	}
	return nil
}

// hostName lets names pass; whatever could end a URL's host does not.
var hostName = regexp.MustCompile(`^[\pL\pN_-]+(\.[\pL\pN_-]+)*\.?$`)

func (p *ProxyConfig) check(field string) error {
	if err := oneOf(field+".type", p.Type, proxyTypes); err != nil {
		return err
	}
	if err := result.CheckText(field+".host", p.Host, maxHost); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(p.Host); err != nil && !hostName.MatchString(p.Host) {
		return result.Invalid(field+".host", "not a host's name or address")
	}
	if p.Port < 1 || p.Port > maxPort {
		return result.Invalid(field+".port", "must lie between 1 and %d", maxPort)
	}
	if err := result.CheckText(field+".username", p.Username, maxProxyText); err != nil {
		return err
	}
	return result.CheckText(field+".password", p.Password, maxProxyText)
}

// checkSecret refuses what cannot stand in an HTTP header, and never quotes it.
func checkSecret(field, text string) error {
	switch {
	case len(text) > maxSecret:
		return result.Invalid(field, "larger than %d bytes", maxSecret)
	case !utf8.ValidString(text):
		return result.Invalid(field, "not valid UTF-8")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return result.Invalid(field, "holds a control character")
	}
	return nil
}

func (s *Secrets) check(field string) error {
	aws := s.AWS
	if aws == nil {
		aws = &AWSCredentials{}
	} else if aws.AccessKeyID == "" || aws.SecretAccessKey == "" {
		return result.Invalid(field+".awsCredentials", "needs accessKeyId and secretAccessKey")
	}
	for _, t := range []struct{ name, text string }{
		{"idToken", s.IDToken}, {"email", s.Email}, {"password", s.Password}, {"bearerToken", s.BearerToken},
		{"awsCredentials.accessKeyId", aws.AccessKeyID}, {"awsCredentials.secretAccessKey", aws.SecretAccessKey},
		{"awsCredentials.sessionToken", aws.SessionToken},
	} {
		if err := checkSecret(field+"."+t.name, t.text); err != nil {
			return err
		}
	}
	if len(s.APIKeys) > maxList {
		return result.Invalid(field+".apiKeys", "more than %d entries", maxList)
	}
	for _, k := range s.APIKeys {
		if k == "" {
			return result.Invalid(field+".apiKeys", "holds an empty text")
		}
		if err := checkSecret(field+".apiKeys", k); err != nil {
			return err
		}
	}
	if len(s.text()) > maxSecrets {
		return result.Invalid(field, "larger than %d bytes", maxSecrets)
	}
	return nil
}

func oneOf(field, word string, words []string) error {
	if slices.Contains(words, word) {
		return nil
	}
	return result.Invalid(field, "must be one of %s", strings.Join(words, ", "))
}

func newID(text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.New(), nil
	}
	return result.ParseID("id", text)
}

func checkDocument(field string, doc []byte, starts, kind string) error {
	if err := result.CheckJSON(field, doc, maxJSON); err != nil {
		return err
	}
	if doc = bytes.TrimSpace(doc); len(doc) > 0 && string(doc) != "null" && !strings.ContainsRune(starts, rune(doc[0])) {
		return result.Invalid(field, "not a JSON %s", kind)
	}
	return nil
}
